"""Closed form of SANA-FE's Loihi energy and of its "simple" timing (Boyle et al., SANA-FE 2.2.9).

    E = sum over formats of synaptic events x e_synapse
      + T' x mapped neurons x (e_access + e_update) + spikes x e_spike
      + packets x e_axon_out + sum over packets of (columns x e_ew + rows x e_ns)

T' = T + max phi steps of the aligned network; a packet is a spike and a destination core that holds
a synapse of it. SANA-FE charges e_update only where a neuron has input or charge; here every mapped
neuron is charged in every step, which equals SANA-FE with `force_update` and bounds it otherwise.

    latency = T' x sync(tiles) + max over cores of (neuron work, message work)

SANA-FE takes the maximum in each step; mean activity gives the same where work does not vary between
steps, and a lower bound otherwise.
"""

from __future__ import annotations

import numpy as np

from cost_models.device import Device
from cost_models.energy.events import FORMATS, Events
from cost_models.energy.placed import placed_model


def terms(events: Events, steps: int, seconds: float, device: Device) -> dict[str, float]:
    """Joules of each term, summed over all samples; no term depends on time."""
    columns, rows = events.hops()
    soma_steps = float(events.soma_steps.sum())
    return {
        "synapse": sum(float(events.synapse[f].sum()) * device[f"energy_synapse_{f}"] for f in FORMATS),
        "soma_access": soma_steps * device["energy_soma_access"],
        "soma_update": soma_steps * device["energy_soma_update"],
        "soma_spike": float(events.fired.sum()) * device["energy_soma_spike"],
        "axon_out": float(events.packets.sum()) * device["energy_axon_out"],
        "hop_ew": columns * device["energy_hop_ew"],
        "hop_ns": rows * device["energy_hop_ns"],
    }


def latency_s(events: Events, steps: int, device: Device) -> float:
    """Seconds for `steps` steps with the mean activity of `events`."""
    neurons = (
        events.soma_steps * (device["latency_soma_access"] + device["latency_soma_update"])
        + events.fired * device["latency_soma_spike"]
        + events.packets.sum(axis=1) * device["latency_axon_out"]
    )
    messages = events.packets.sum(axis=0) * device["latency_axon_in"] + sum(
        events.synapse[f] * device[f"latency_synapse_{f}"] for f in FORMATS
    )
    return steps * sync_s(events, device) + float(max(neurons.max(), np.max(messages)))


def sync_s(events: Events, device: Device) -> float:
    """Barrier of one step for the number of tiles in use: the row with the largest count reached."""
    tiles = events.tiles_in_use()
    return max((row for row in device.rows("latency_sync") if row[0] <= tiles), default=(0.0, 0.0))[1]


EVENT_TERMS = ("synapse", "soma_access", "soma_update", "soma_spike", "axon_out", "hop_ew", "hop_ns")
MODEL = placed_model(terms, latency_s, dict.fromkeys(EVENT_TERMS, "event"))

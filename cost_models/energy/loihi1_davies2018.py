"""Loihi 1 with the simulated constants of Davies et al., IEEE Micro 38(1), 2018, Table 2.

    E = synaptic events x e_synapse + T' x mapped neurons x e_neuron
      + packets x e_tile + sum over packets of (columns x e_ew + rows x e_ns)

T' = T + max phi steps of the aligned network; a packet is a spike and a destination core. Every
neuron is charged as active in every step, since the table does not say when one counts as inactive.

    latency = T' x barrier(tiles) + max over cores of (neuron work, synaptic work)

with the slowest synaptic event of the table.
"""

from __future__ import annotations

import numpy as np

from cost_models.device import Device
from cost_models.energy.events import Events
from cost_models.energy.loihi1_sanafe import sync_s
from cost_models.energy.placed import placed_model


def terms(events: Events, steps: int, seconds: float, device: Device) -> dict[str, float]:
    """Joules of each term, summed over all samples; no term depends on time."""
    columns, rows = events.hops()
    return {
        "synapse": sum(float(n.sum()) for n in events.synapse.values()) * device["energy_synapse"],
        "neuron": float(events.soma_steps.sum()) * device["energy_neuron_active"],
        "tile": float(events.packets.sum()) * device["energy_spike_in_tile"],
        "hop_ew": columns * device["energy_hop_ew"],
        "hop_ns": rows * device["energy_hop_ns"],
    }


def latency_s(events: Events, steps: int, device: Device) -> float:
    """Seconds for `steps` steps with the mean activity of `events`."""
    neurons = (
        events.soma_steps * device["latency_neuron_active"]
        + events.packets.sum(axis=1) * device["latency_spike_in_tile"]
    )
    synapses = np.sum(list(events.synapse.values()), axis=0) * device["latency_synapse"]
    return steps * sync_s(events, device) + float(max(neurons.max(), synapses.max()))


KINDS = dict.fromkeys(("synapse", "neuron", "tile", "hop_ew", "hop_ns"), "event")
MODEL = placed_model(terms, latency_s, KINDS)

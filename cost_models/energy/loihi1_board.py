"""A Loihi 1 board: the event terms of `loihi1_sanafe`, and what the public board logs show beside them.

    E = event terms + T' x e_step + P_idle x latency,   latency = T' x step_s

The logs (abr/power_benchmarks, Wolf Mountain board) hold runs of k copies of 10 layers of 256
neurons, and of no network at all. A line through their dynamic energy has the slope of the events
and an intercept that every step costs, network or not: e_step. The speed does not depend on the network
(input and output bind it), so time is a constant of the board.
"""

from __future__ import annotations

from cost_models.device import Device
from cost_models.energy import loihi1_sanafe
from cost_models.energy.events import Events
from cost_models.energy.placed import placed_model


def terms(events: Events, steps: int, seconds: float, device: Device) -> dict[str, float]:
    """Joules of each term, summed over all samples."""
    return {
        **loihi1_sanafe.terms(events, steps, seconds, device),
        "step": steps * device["energy_step"],
        "idle": seconds * device["power_idle"],
    }


def latency_s(events: Events, steps: int, device: Device) -> float:
    """Seconds for `steps` steps, whatever the network does."""
    return steps * device["latency_step"]


KINDS = {**dict.fromkeys(loihi1_sanafe.EVENT_TERMS, "event"), "step": "fixed", "idle": "static"}
MODEL = placed_model(terms, latency_s, KINDS)

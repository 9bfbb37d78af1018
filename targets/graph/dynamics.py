"""The discrete update of every neuron model, as coefficients that each target reads.

With forward Euler and step dt, NIR's equations become, in this normative order of operations (no
fused multiply-add; S is the summed input of the step):

    LI, LIF         v <- ((decay * v) + (gain * S)) + leak
    IF              v <- v + gain * S
    CubaLI, CubaLIF i <- (decay_synapse * i) + (gain * S)
                    v <- ((decay * v) + i) + leak
    IF, LIF, CubaLIF   spike = v > threshold;  v <- reset where spike

    decay = 1 - dt / tau_mem      decay_synapse = 1 - dt / tau_syn      leak = dt / tau_mem * v_leak
    gain  = dt / tau * r (LI, LIF),   dt * r (IF),   dt / tau_syn * w_in * dt / tau_mem * r (Cuba*)

The state i of a Cuba model is thus its current times r * dt / tau_mem. Coefficients are computed in
float64 and rounded to float32 once. A term whose coefficient is None is absent from the update.
Source: NIR primitives, Pedersen et al., Nat. Commun. 15:8122 (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.profile import HOUSE

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Dynamics:
    """Coefficients of one population, float32, each of the population's shape.

    `threshold` and `reset` are None for LI and CubaLI, `decay_synapse` for models without a
    synaptic current, `decay` for IF, `leak` where it is zero everywhere.
    """

    gain: Array
    decay: Array | None
    decay_synapse: Array | None
    leak: Array | None
    threshold: Array | None
    reset: Array | None


def dynamics(graph: SpikingGraph, name: str) -> Dynamics:
    """Coefficients of population `name`.

    Raises:
        GraphError: the graph has no dt.
        UnsupportedNodeError: the profile is not the house profile.
    """
    odd = graph.profile.differences(HOUSE)
    if odd:
        listed = ", ".join(f"{key}={found!r} (allowed {allowed!r})" for key, (found, allowed) in odd.items())
        raise UnsupportedNodeError(f"node {name!r}: profile {listed}")
    dt = graph.require_dt(f"population {name!r}")
    node = graph.nodes[name]
    terms = _TERMS[type(node)](node, dt)
    leak = terms.get("leak")
    if leak is not None and not np.any(leak):
        leak = None
    fires = hasattr(node, "v_threshold")

    def rounded(value: Any) -> Array | None:
        if value is None:
            return None
        return np.broadcast_to(np.asarray(value, dtype=np.float64), graph.shapes[name]).astype(np.float32)

    gain = rounded(terms["gain"])
    assert gain is not None
    return Dynamics(
        gain=gain,
        decay=rounded(terms.get("decay")),
        decay_synapse=rounded(terms.get("decay_synapse")),
        leak=rounded(leak),
        threshold=rounded(node.v_threshold) if fires else None,
        reset=rounded(node.v_reset) if fires else None,
    )


def _wide(value: Any) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)


def _leaky(node: nir.LI | nir.LIF, dt: float) -> dict[str, Any]:
    rate = dt / _wide(node.tau)
    return {"decay": 1 - rate, "gain": rate * _wide(node.r), "leak": rate * _wide(node.v_leak)}


def _integrating(node: nir.IF, dt: float) -> dict[str, Any]:
    return {"gain": dt * _wide(node.r)}


def _current_based(node: nir.CubaLI | nir.CubaLIF, dt: float) -> dict[str, Any]:
    rate, rate_synapse = dt / _wide(node.tau_mem), dt / _wide(node.tau_syn)
    return {
        "decay": 1 - rate,
        "decay_synapse": 1 - rate_synapse,
        "gain": rate_synapse * _wide(node.w_in) * rate * _wide(node.r),
        "leak": rate * _wide(node.v_leak),
    }


_TERMS: Mapping[type[nir.NIRNode], Callable[[Any, float], dict[str, Any]]] = {
    nir.IF: _integrating,
    nir.LI: _leaky,
    nir.LIF: _leaky,
    nir.CubaLI: _current_based,
    nir.CubaLIF: _current_based,
}

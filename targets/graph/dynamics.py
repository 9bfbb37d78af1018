"""The discrete update of every neuron model, as coefficients that each target reads.

With step dt, NIR's equations become, in this normative order of operations (no fused multiply-add;
S is the summed input of the step):

    LI, LIF         v <- ((decay * v) + (gain * S)) + leak
    IF              v <- v + gain * S
    CubaLI, CubaLIF i <- (decay_synapse * i) + (gain * S)
                    v <- ((decay * v) + i) + leak
    IF, LIF, CubaLIF   n = v > threshold;  v <- reset where n

    euler         decay = 1 - dt / tau_mem       decay_synapse = 1 - dt / tau_syn
    exponential   decay = exp(-dt / tau_mem)     decay_synapse = exp(-dt / tau_syn)
    both          leak = dt / tau_mem * v_leak
    gain = dt / tau * r (LI, LIF),   dt * r (IF),   dt / tau_syn * w_in * dt / tau_mem * r (Cuba*)

The state i of a Cuba model is thus its current times r * dt / tau_mem. Coefficients are computed in
float64 and rounded to float32 once. A term whose coefficient is None is absent from the update.

Beyond the house profile, the last line depends on it (n is the output):

    comparison       ">="             n = v >= threshold
    spikes_per_step  "many"           n = max(trunc(v / threshold), 0) for ">=",
                                      n = max(ceil(v / threshold) - 1, 0) for ">"
    reset            "subtract"       v <- v - n * threshold
                     "subtract_late"  the same in the next step, after the leak and before its n
    clip                              v <- max(v - clip, 0) + clip, after the reset

The exponential integrator keeps Euler's input gain, as Sinabs and Rockpool do; a gain of
1 - exp(-dt / tau) is r times tau / dt * (1 - exp(-dt / tau)), as "sinabs-norm-input" reads it
(`targets.graph.writers`). The clip is written as Sinabs computes it.
Sources: NIR primitives, Pedersen et al., Nat. Commun. 15:8122 (2024); the code of Sinabs 3.1.3,
Rockpool 3.1.0 and snnTorch 1.0.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.graph.profile import HOUSE, Profile

Array = NDArray[np.float32]
_FLOAT_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class SpikeRule:
    """How a population fires where that is not the house rule; values as in `Profile`."""

    reset: str
    inclusive: bool
    many: bool


@dataclass(frozen=True)
class Dynamics:
    """Coefficients of one population, float32, each of the population's shape.

    `threshold` and `reset` are None for LI and CubaLI, `decay_synapse` for models without a
    synaptic current, `decay` for IF, `leak` where it is zero everywhere, `clip` where there is none,
    `rule` under the house profile and for LI and CubaLI.
    """

    gain: Array
    decay: Array | None
    decay_synapse: Array | None
    leak: Array | None
    threshold: Array | None
    reset: Array | None
    clip: Array | None = None
    rule: SpikeRule | None = None


def house_dynamics(graph: SpikingGraph, name: str) -> Dynamics:
    """Coefficients of population `name`, for targets that run the house profile alone.

    Raises:
        GraphError: as `dynamics`.
        UnsupportedNodeError: the profile is not the house profile.
    """
    odd = graph.profile.differences(HOUSE)
    if odd:
        listed = ", ".join(f"{key}={found!r} (allowed {allowed!r})" for key, (found, allowed) in odd.items())
        raise UnsupportedNodeError(f"node {name!r}: profile {listed}")
    return dynamics(graph, name)


def dynamics(graph: SpikingGraph, name: str) -> Dynamics:
    """Coefficients of population `name`.

    Raises:
        GraphError: the graph has no dt, or float32 does not hold a coefficient.
        UnsupportedNodeError: a threshold that is not positive, with many spikes or "subtract_late".
    """
    dt = graph.require_dt(f"population {name!r}")
    node = graph.nodes[name]
    fires = hasattr(node, "v_threshold")

    def rounded(key: str, value: Any) -> Array | None:
        if value is None:
            return None
        wide = _wide(value)
        narrow = np.broadcast_to(wide, graph.shapes[name]).astype(np.float32)
        if not np.isfinite(narrow).all():
            fault = f"{key} {beyond_float32(wide)} at dt={dt:g}"
            raise GraphError(f"node {name!r} ({kind(node)}): {fault}; change its parameters")
        return narrow

    # What overflows, and infinity times 0, is an error above.
    with np.errstate(over="ignore", invalid="ignore"):
        terms = _TERMS[type(node)](node, dt, _DECAYS[graph.profile.integrator])
        leak = terms.get("leak")
        if leak is not None and not np.any(leak):
            leak = None
        gain = rounded("gain", terms["gain"])
        assert gain is not None
        return Dynamics(
            gain=gain,
            decay=rounded("decay", terms.get("decay")),
            decay_synapse=rounded("decay_synapse", terms.get("decay_synapse")),
            leak=rounded("leak", leak),
            threshold=rounded("threshold", node.v_threshold) if fires else None,
            reset=rounded("reset", node.v_reset) if fires else None,
            clip=rounded("clip", _clip(node, graph.profile)) if fires else None,
            rule=spike_rule(graph, name),
        )


def beyond_float32(values: NDArray[Any]) -> str | None:
    """Found against allowed where float32 does not hold `values`, one or more; else None."""
    if values.dtype.kind != "f" or values.dtype.itemsize <= 4:
        return None
    low, high = values.min(), values.max()
    worst = high if high >= -low else low  # NaN where there is one
    with np.errstate(over="ignore"):
        if np.isfinite(np.float32(worst)):
            return None
    # A longdouble as it is: as a float it may be infinite.
    found = np.format_float_scientific(worst, precision=5, trim="-")
    return f"holds {found}, allowed up to {_FLOAT_MAX:g} (float32)"


def spike_rule(graph: SpikingGraph, name: str) -> SpikeRule | None:
    """How population `name` fires; None under the house profile and for LI and CubaLI.

    Raises:
        UnsupportedNodeError: as `dynamics`.
    """
    node, profile = graph.nodes[name], graph.profile
    if not hasattr(node, "v_threshold"):
        return None
    rule = SpikeRule(profile.reset, profile.comparison == ">=", profile.spikes_per_step == "many")
    if (rule.many or rule.reset == "subtract_late") and not (_wide(node.v_threshold) > 0).all():
        raise UnsupportedNodeError(
            f"node {name!r}: v_threshold is {np.min(node.v_threshold)}, allowed > 0 with "
            f"spikes_per_step={profile.spikes_per_step!r} and reset={profile.reset!r}"
        )
    odd = profile.differences(HOUSE).keys() - {"integrator"}
    return rule if odd else None


def _clip(node: Any, profile: Profile) -> Any:
    if isinstance(profile.clip, str):
        every = profile.clip == "-threshold"
        return -_wide(node.v_threshold) if every or isinstance(node, nir.IF) else None
    return profile.clip


def _wide(value: Any) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)


_Decay = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_DECAYS: Mapping[str, _Decay] = {"euler": lambda rate: 1 - rate, "exponential": lambda rate: np.exp(-rate)}


def _leaky(node: nir.LI | nir.LIF, dt: float, decay: _Decay) -> dict[str, Any]:
    rate = dt / _wide(node.tau)
    return {"decay": decay(rate), "gain": rate * _wide(node.r), "leak": rate * _wide(node.v_leak)}


def _integrating(node: nir.IF, dt: float, decay: _Decay) -> dict[str, Any]:
    return {"gain": dt * _wide(node.r)}


def _current_based(node: nir.CubaLI | nir.CubaLIF, dt: float, decay: _Decay) -> dict[str, Any]:
    rate, rate_synapse = dt / _wide(node.tau_mem), dt / _wide(node.tau_syn)
    return {
        "decay": decay(rate),
        "decay_synapse": decay(rate_synapse),
        "gain": rate_synapse * _wide(node.w_in) * rate * _wide(node.r),
        "leak": rate * _wide(node.v_leak),
    }


_TERMS: Mapping[type[nir.NIRNode], Callable[[Any, float, _Decay], dict[str, Any]]] = {
    nir.I: _integrating,
    nir.IF: _integrating,
    nir.LI: _leaky,
    nir.LIF: _leaky,
    nir.CubaLI: _current_based,
    nir.CubaLIF: _current_based,
}

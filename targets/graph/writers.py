"""Profiles of known writers: what the numbers in a framework's `.nir` files mean.

Each was run beside its framework on the same spikes (`tests/targets/profiles`). Where a framework
writes a gain that is not the one it computes with, `read` puts NIR's own value in the node, so that
the equations of `targets.graph.dynamics` are the framework's. In NIR's terms a gain of one is
r = tau / dt (LI, LIF), r = 1 / dt (IF), and w_in = tau_syn / dt with r = tau_mem / dt (CubaLIF).

| name | dt | integrator | spike, reset | rewritten on reading |
|---|---|---|---|---|
| norse | 1e-3 s | euler | >, one, to_value | IF: gain one; CubaLIF: current gain one |
| rockpool | to be given | exponential | >=, many, subtract | LIF: gain one; CubaLIF: exp(-dt / tau_syn) |
| sinabs | 1 (tau counts steps) | exponential | >=, many, subtract; IF clipped | IF, LI, LIF: gain one |
| sinabs-norm-input | 1 (tau counts steps) | exponential | the same | IF: one; LI, LIF: 1 - exp(-dt / tau) |
| snntorch | 1e-4 s | euler | >, one, subtract_late | LIF, CubaLIF: gain one, free of rounding |
| spikingjelly | 1e-4 s | euler | >=, one, to_value | nothing |

Not in a file, so to be given as KEY=VALUE where a model differs: Sinabs' `min_v_mem` (`clip=none` for a
model without; Sinabs itself clips what it imports), its SingleSpike and MembraneReset; snnTorch's
`reset_mechanism="zero"` (`reset=to_value`) and `reset_delay=False` (`reset=subtract`); another dt. Norse
1.1.0 multiplies its argument dt into tau: give dt * dt, 1e-6 where both are 1e-3; its later versions
write seconds.

Not represented: a bias or w_rec of a Rockpool LIFTorch, and snnTorch's graded_spikes_factor and
inhibition (none of them is in the file); snnTorch's "zero" in Synaptic, RLeaky and RSynaptic, which
drops the drive of the step after a spike, and its `reset_delay=False` once v exceeds twice the
threshold, where it adds a threshold back; the bias of a recurrent connection in its very first step;
states that start at v_leak (Norse) or v_reset (SpikingJelly), unless that is zero.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import ConfigError
from targets.graph.profile import Profile

_Fields = Mapping[str, Any]
_Rewrite = Callable[[Any, float], _Fields]


@dataclass(frozen=True)
class Writer:
    """What a framework's file means.

    Attributes:
        profile: the values of `Profile` that it computes with; `dt` may be absent.
        rewrites: `{node kind: (node, dt) -> fields in NIR's terms}`, where the file's are not.
    """

    name: str
    profile: Mapping[str, Any]
    rewrites: Mapping[type[nir.NIRNode], _Rewrite] = field(default_factory=dict)

    def read(
        self, nodes: Mapping[str, nir.NIRNode], profile: Profile, stored: Mapping[str, Any]
    ) -> tuple[dict[str, nir.NIRNode], list[str]]:
        """The nodes in NIR's terms and what was assumed.

        Args:
            stored: what the file itself says in its metadata.

        Raises:
            ConfigError: a rewrite needs dt, and none is known; or the file states its own profile.
        """
        if "profile" in stored:
            raise ConfigError(f"profile {self.name}: the file states its own profile; leave the name out")
        changed: dict[str, nir.NIRNode] = dict(nodes)
        rewritten: dict[str, list[str]] = {}
        for name, node in nodes.items():
            rewrite = self.rewrites.get(type(node))
            if rewrite is None:
                continue
            if profile.dt is None:
                raise ConfigError(
                    f"profile {self.name}: the step is not in the file; give dt=SECONDS as well"
                )
            changed[name] = copy.copy(node)
            for key, value in rewrite(node, profile.dt).items():
                setattr(changed[name], key, value)
                if not _same(getattr(node, key), value):
                    rewritten.setdefault(f"{type(node).__name__}.{key}", []).append(name)
        stated = ", ".join(f"{key}={value!r}" for key, value in vars(profile).items())
        notes = [f"the file is read as {self.name} writes: {stated}"]
        notes += [f"{key} is read as {self.name} means it, in {_few(n)}" for key, n in rewritten.items()]
        return changed, notes


def _same(old: Any, new: Any) -> bool:
    if isinstance(new, dict):
        return all(np.array_equal(old[port], shape) for port, shape in new.items())
    return bool(np.array_equal(np.broadcast_to(old, np.shape(new)), new))


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def resolve(
    given: str | Profile | Mapping[str, Any] | None,
) -> tuple[Profile | Mapping[str, Any] | None, Writer | None]:
    """Split what a user gave into profile values and the named writer, if any.

    Args:
        given: a writer's name, or values of which `writer` may be one; the others go on top of its own.

    Raises:
        ConfigError: unknown writer.
    """
    if isinstance(given, str):
        given = {"writer": given}
    if given is None or isinstance(given, Profile) or "writer" not in given:
        return given, None
    writer = find(str(given["writer"]))
    return {**writer.profile, **{key: value for key, value in given.items() if key != "writer"}}, writer


def find(name: str) -> Writer:
    """The writer called `name`; ConfigError lists the known ones."""
    if name in _REFUSED:
        raise ConfigError(f"profile {name!r} is not offered: {_REFUSED[name]}; allowed {', '.join(WRITERS)}")
    if name not in WRITERS:
        near = difflib.get_close_matches(name, WRITERS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"unknown profile {name!r}, allowed KEY=VALUE or {', '.join(WRITERS)}{hint}")
    return WRITERS[name]


def _wide(value: Any) -> NDArray[np.float64]:
    return np.asarray(value, dtype=np.float64)


def _leaky_one(node: nir.LI | nir.LIF, dt: float) -> _Fields:
    return {"r": _wide(node.tau) / dt}


def _leaky_norm(node: nir.LI | nir.LIF, dt: float) -> _Fields:
    tau = _wide(node.tau)
    return {"r": tau / dt * (1 - np.exp(-dt / tau))}


def _integrating_one(node: nir.IF, dt: float) -> _Fields:
    return {"r": np.full(np.shape(node.r), 1 / dt)}


def _currents_one(node: nir.CubaLIF, dt: float) -> _Fields:
    return {"r": _wide(node.tau_mem) / dt, "w_in": _wide(node.tau_syn) / dt}


def _current_norse(node: nir.CubaLIF, dt: float) -> _Fields:
    return {"w_in": _wide(node.tau_syn) / dt}


def _vector(node: nir.Input | nir.Output, dt: float) -> _Fields:
    # It writes the shape of its sample, batch and time included; its layers are vectors.
    ports = ("input_type", "output_type")
    return {key: {port: shape[-1:] for port, shape in getattr(node, key).items()} for key in ports}


def _currents_rockpool(node: nir.CubaLIF, dt: float) -> _Fields:
    # Its synapse decays in the step in which it is fed: i <- beta * (i + S).
    tau_syn = _wide(node.tau_syn)
    return {"r": _wide(node.tau_mem) / dt, "w_in": tau_syn / dt * np.exp(-dt / tau_syn)}


_EULER = {"integrator": "euler", "spikes_per_step": "one", "clip": None}
_EXPONENTIAL = {
    "integrator": "exponential",
    "reset": "subtract",
    "comparison": ">=",
    "spikes_per_step": "many",
    "clip": None,
}
_SINABS = {**_EXPONENTIAL, "dt": 1.0, "clip": "-threshold of IF"}

WRITERS: Mapping[str, Writer] = {
    writer.name: writer
    for writer in (
        Writer(
            "norse",
            {**_EULER, "dt": 1e-3, "reset": "to_value", "comparison": ">"},
            {nir.IF: _integrating_one, nir.CubaLIF: _current_norse},
        ),
        Writer(
            "rockpool",
            _EXPONENTIAL,
            {
                nir.Input: _vector,
                nir.Output: _vector,
                nir.LIF: _leaky_one,
                nir.CubaLIF: _currents_rockpool,
            },
        ),
        Writer("sinabs", _SINABS, {nir.IF: _integrating_one, nir.LI: _leaky_one, nir.LIF: _leaky_one}),
        Writer(
            "sinabs-norm-input",
            _SINABS,
            {nir.IF: _integrating_one, nir.LI: _leaky_norm, nir.LIF: _leaky_norm},
        ),
        Writer(
            "snntorch",
            {**_EULER, "dt": 1e-4, "reset": "subtract_late", "comparison": ">"},
            {nir.LIF: _leaky_one, nir.CubaLIF: _currents_one},
        ),
        Writer("spikingjelly", {**_EULER, "dt": 1e-4, "reset": "to_value", "comparison": ">="}),
    )
}
_REFUSED: Mapping[str, str] = {
    "nengo": "its LIF rests for a refractory time (2 ms by default) that no NIR file holds, and then "
    "starts within a step. Where that time is zero, sinabs-norm-input has its gain of 1 - exp(-dt / tau): "
    "add dt=SECONDS, reset=to_value, comparison='>', spikes_per_step=one and clip=0",
    "lava": "Lava does not write NIR; example scripts do, each in its own way",
    "spyx": "it stores its decay in r, and was not compared with a run",
    "hxtorch": "it writes milliseconds and computes on analogue hardware",
    "jaxsnn": "it writes milliseconds and is event-based",
}

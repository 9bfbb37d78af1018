"""What a `.nir` file leaves open about time and spikes, made explicit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from targets.errors import ConfigError

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "integrator": ("euler", "exponential"),
    "reset": ("to_value", "subtract", "subtract_late"),
    "comparison": (">", ">="),
    "spikes_per_step": ("one", "many"),
}
_CLIPS = ("-threshold", "-threshold of IF")


@dataclass(frozen=True)
class Profile:
    """Execution profile of a spiking graph.

    The defaults are the house profile: forward Euler, reset to `v_reset`, strict `>`, one spike a
    step, no lower clip. `targets.graph.dynamics` defines every value as an equation.

    Attributes:
        dt: length of a step in seconds, or in the file's own unit of time. It has no default: a graph
            with dynamics cannot run without it.
        integrator: "euler" | "exponential" (decay exp(-dt / tau), input gain as with Euler).
        reset: "to_value" (v_reset) | "subtract" (threshold, once a spike) | "subtract_late" (the same,
            in the update of the step after the spike).
        comparison: ">" | ">=".
        spikes_per_step: "one" | "many" (one for each whole threshold reached).
        clip: lower bound of the membrane of populations that fire: a value, "-threshold",
            "-threshold of IF" (leaky populations are not clipped), or None.

    Raises:
        ConfigError: a value is outside its range.
    """

    dt: float | None = None
    integrator: str = "euler"
    reset: str = "to_value"
    comparison: str = ">"
    spikes_per_step: str = "one"
    clip: float | str | None = None

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            found = getattr(self, key)
            if found not in allowed:
                raise ConfigError(f"profile {key}: found {found!r}, allowed {', '.join(allowed)}")
        if self.dt is not None and not (0.0 < self.dt < float("inf")):
            raise ConfigError(f"profile dt: found {self.dt!r}, allowed a positive number of seconds")
        if isinstance(self.clip, str) and self.clip not in _CLIPS:
            raise ConfigError(f"profile clip: found {self.clip!r}, allowed a number, {', '.join(_CLIPS)}")
        if isinstance(self.clip, float) and not abs(self.clip) < float("inf"):
            raise ConfigError(f"profile clip: found {self.clip!r}, allowed a finite number")

    def with_values(self, values: Mapping[str, Any]) -> Profile:
        """This profile with `values` replaced; text is converted, an unknown key is refused."""
        known = [field.name for field in fields(self)]
        clean: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"unknown profile key {key!r}, allowed {', '.join(known)}{hint}")
            clean[key] = _CONVERT[key](key, value) if key in _CONVERT else str(value)
        return replace(self, **clean)

    def differences(self, other: Profile) -> dict[str, tuple[Any, Any]]:
        """Keys on which two profiles differ, `dt` aside: `{key: (self, other)}`."""
        keys = [field.name for field in fields(self) if field.name != "dt"]
        pairs = {key: (getattr(self, key), getattr(other, key)) for key in keys}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _number(key: str, value: Any) -> float | None:
    if value is None or value == "none":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"profile {key}: found {value!r}, allowed a number") from None


def _clip(key: str, value: Any) -> float | str | None:
    return str(value) if value in _CLIPS else _number(key, value)


_CONVERT: Mapping[str, Callable[[str, Any], Any]] = {"dt": _number, "clip": _clip}
HOUSE = Profile()

"""What a `.nir` file leaves open about time and spikes, made explicit."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from targets.errors import ConfigError

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "integrator": ("euler", "exponential"),
    "reset": ("to_value", "subtract"),
    "comparison": (">", ">="),
    "spikes_per_step": ("one", "many"),
}


@dataclass(frozen=True)
class Profile:
    """Execution profile of a spiking graph.

    The defaults are the house profile: forward Euler, reset to `v_reset`, strict `>`, one spike a
    step, no lower clip. `dt` (seconds) has no default: a graph with dynamics cannot run without it.

    Raises:
        ConfigError: a value is outside its range.
    """

    dt: float | None = None
    integrator: str = "euler"
    reset: str = "to_value"
    comparison: str = ">"
    spikes_per_step: str = "one"
    clip: float | None = None

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            found = getattr(self, key)
            if found not in allowed:
                raise ConfigError(f"profile {key}: found {found!r}, allowed {', '.join(allowed)}")
        if self.dt is not None and not (0.0 < self.dt < float("inf")):
            raise ConfigError(f"profile dt: found {self.dt!r}, allowed a positive number of seconds")

    def with_values(self, values: Mapping[str, Any]) -> Profile:
        """This profile with `values` replaced; text is converted, an unknown key is refused."""
        known = [field.name for field in fields(self)]
        clean: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"unknown profile key {key!r}, allowed {', '.join(known)}{hint}")
            clean[key] = _number(key, value) if key in ("dt", "clip") else str(value)
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


HOUSE = Profile()

"""Values to input over time: `[B, C, H, W]` -> float32 `[T, B, C, H, W]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from targets.errors import ConfigError, DataError

Floats = NDArray[np.float32]


def rate(intensity: Floats, steps: int) -> Floats:
    """Deterministic integrate-and-fire of the intensity: step t fires where floor grows.

    A value of i in [0, 1] gives floor(i T + 1/2) spikes, spread evenly; no seed, so the same
    picture always gives the same spikes. The half is the start of the integrator.
    """
    level = intensity.astype(np.float64)
    ramp = np.arange(steps + 1, dtype=np.float64).reshape(-1, *[1] * level.ndim)
    return np.diff(np.floor(level[None] * ramp + 0.5), axis=0).astype(np.float32)


def latency(intensity: Floats, steps: int) -> Floats:
    """One spike a value, at step round((1 - i)(T - 1)); values of 0 never fire."""
    when = np.rint((1.0 - intensity.astype(np.float64)) * (steps - 1)).astype(np.int64)
    clock = np.arange(steps).reshape(-1, *[1] * intensity.ndim)
    return ((clock == when[None]) & (intensity[None] > 0)).astype(np.float32)


def graded(intensity: Floats, steps: int) -> Floats:
    """The value itself on a grid of 1/255, the same at each step."""
    level = np.rint(intensity.astype(np.float64) * 255.0) / 255.0
    return np.repeat(level.astype(np.float32)[None], steps, axis=0)


STATIC: Mapping[str, Callable[[Floats, int], Floats]] = {"rate": rate, "latency": latency, "graded": graded}


def encode(x: Floats, encoding: str, steps: int) -> Floats:
    """Input of a network, [T, B, *shape] float32.

    Args:
        x: static values [B, *shape] in [0, 1] for `rate`, `latency` and `graded`;
            recorded events [B, T, *shape] for `events`, passed through.
        encoding: `rate`, `latency`, `graded` or `events`.
        steps: T.

    Raises:
        ConfigError: unknown encoding; no step.
        DataError: values outside [0, 1], or a recording whose length is not `steps`.
    """
    check_steps(steps)
    if encoding == "events":
        return _events(x, steps)
    if encoding not in STATIC:
        raise ConfigError(f"data.encoding: found {encoding!r}, allowed {', '.join([*STATIC, 'events'])}")
    if x.size and (float(x.min()) < 0.0 or float(x.max()) > 1.0):
        raise DataError(
            f"encoding {encoding!r}: found values from {x.min():.6g} to {x.max():.6g}, allowed 0 to 1; "
            "scale the data first, or use encoding = 'events' for recorded events"
        )
    return STATIC[encoding](x, steps)


def check_steps(steps: int) -> None:
    """ConfigError unless there is a time step."""
    if steps < 1:
        raise ConfigError(f"data.steps: found {steps}, allowed at least 1")


def _events(x: Floats, steps: int) -> Floats:
    if x.shape[1] != steps:
        raise DataError(
            f"encoding 'events': the recordings have {x.shape[1]} steps, data.steps is {steps}; "
            f"set data.steps = {x.shape[1]}"
        )
    return np.ascontiguousarray(np.moveaxis(x, 1, 0), dtype=np.float32)

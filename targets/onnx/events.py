"""A live event source as frames of one step each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError
from targets.graph.shapes import Shape

Frame = NDArray[np.generic]
Event = Sequence[Any]
# Of a step: t * unit / dt may miss a whole number by a rounding of floating point.
_SLACK = 1e-6


def frames(
    stream: Iterable[Event | Frame], shape: Shape, unit_steps: float, start: float | None
) -> Iterator[tuple[int, Frame]]:
    """`(step, frame [B, *shape])` of every step, in order, those without events as well.

    A frame is complete, and is given out, once an event of a later step arrives or the stream ends.

    Args:
        stream: frames, arrays [*shape] or [B, *shape]; or events, tuples `(t, *address)` in order of time.
            Events of one address in one step add up.
        unit_steps: steps in one unit of t.
        start: the t at which step 0 begins; None takes that of the first event.

    Raises:
        DataError: an event out of order, outside `shape` or of the wrong length, a frame of another shape,
            frames among events, no finite `unit_steps` > 0, or no finite `start`.
    """
    _check_clock(unit_steps, start)
    step, open_frame, first = 0, None, ""
    for number, item in enumerate(stream):
        found = "frame" if isinstance(item, np.ndarray) else "event"
        first = first or found
        if found != first:
            raise DataError(f"{found} {number}: found after {first}s, allowed one kind in a stream")
        if isinstance(item, np.ndarray):
            yield number, _framed(item, shape, number)
            continue
        at, address = _event(item, shape, number)
        start = at if start is None else start
        due = _step_of(at, start, unit_steps, number)
        if due < step:
            raise DataError(
                f"event {number}: belongs to step {due}, found after step {step}; give events in time order"
            )
        open_frame = _blank(shape) if open_frame is None else open_frame
        while step < due:
            yield step, open_frame
            step, open_frame = step + 1, _blank(shape)
        open_frame[(0, *address)] += 1
    if open_frame is not None:
        yield step, open_frame


def _check_clock(unit_steps: float, start: float | None) -> None:
    if not (math.isfinite(unit_steps) and unit_steps > 0):
        raise DataError(
            f"unit_s: one unit of t makes {unit_steps:g} steps of dt, allowed a finite number of seconds > 0"
        )
    if start is not None and not math.isfinite(start):
        raise DataError(f"start: found {start:g}, allowed a finite time")


def _step_of(at: float, start: float, unit_steps: float, number: int) -> int:
    steps = (at - start) * unit_steps
    if not math.isfinite(steps):
        raise DataError(f"event {number}: found t={at:g}, allowed a finite number of steps after {start:g}")
    return math.floor(steps + _SLACK)


def _blank(shape: Shape) -> NDArray[np.float32]:
    return np.zeros((1, *shape), np.float32)


def _framed(item: Frame, shape: Shape, number: int) -> Frame:
    if item.shape == shape:
        return item[None]
    if item.shape[1:] == shape and item.ndim == len(shape) + 1:
        return item
    raise DataError(f"frame {number}: found shape {item.shape}, allowed {shape} or (B, *{shape})")


def _event(item: Event, shape: Shape, number: int) -> tuple[float, tuple[int, ...]]:
    try:
        at, *address = item
        time, place = float(at), tuple(int(index) for index in address)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"event {number}: found {item!r}, allowed (t, {len(shape)} indices)") from None
    inside = len(place) == len(shape) and all(0 <= i < n for i, n in zip(place, shape, strict=True))
    if not inside or place != tuple(address) or not math.isfinite(time):
        raise DataError(f"event {number}: found {item!r}, allowed (t, address inside {shape})")
    return time, place

"""Recorded events as frames: which events fall into which step, made batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.encoding import Floats, check_steps
from msenas_hw.data.recordings import Recordings
from targets.errors import DataError

Rows = NDArray[np.int64] | slice
# Samples that are held at once where all of them are asked for.
_BLOCK = 256


@dataclass(frozen=True)
class Binning:
    """How recorded events become the frames of T steps. The same events always give the same frames.

    Attributes:
        steps: T.
        by: `time`: equal spans; `count`: equal numbers of events (event i of n is in step i T // n).
        window_s: recorded seconds that the steps cover, from the recording's begin; what comes later is
            left out. None: each recording up to its last event.
        downsample: so many pixels along each axis become one; an edge that is left over is one more.
        polarity: whether polarities stay apart (`split`) or are added up (`merge`).
        counts: whether a frame holds numbers of events, not only whether there was one.

    Raises:
        ConfigError: no step.
    """

    steps: int = 10
    by: Literal["time", "count"] = "time"
    window_s: float | None = None
    downsample: int = 1
    polarity: Literal["split", "merge"] = "split"
    counts: bool = False

    def __post_init__(self) -> None:
        check_steps(self.steps)


@dataclass(frozen=True, eq=False)
class Frames:
    """Samples [N, T, C, H, W] of recordings, of which only those that are indexed are ever made.

    Attributes:
        rows: which recordings, in order.
    """

    recordings: Recordings
    rows: NDArray[np.int64]
    binning: Binning

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), self.binning.steps, *self.frame)

    @property
    def frame(self) -> tuple[int, int, int]:
        """[C, H, W] of one frame."""
        channels, height, width = self.recordings.sensor
        pixels = self.binning.downsample
        channels = 1 if self.binning.polarity == "merge" else channels
        return channels, -(-height // pixels), -(-width // pixels)

    @property
    def ndim(self) -> int:
        return 5

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    def at(self, steps: int) -> Frames:
        """The same samples in another number of steps."""
        return replace(self, binning=replace(self.binning, steps=steps))

    def take(self, rows: Rows) -> Frames:
        """Some of the samples; none is made."""
        return replace(self, rows=self.rows[rows])

    def __getitem__(self, rows: Rows) -> Floats:
        chosen = np.atleast_1d(self.rows[rows])
        return _frames(self.recordings, chosen, self.binning, self.frame)

    def __array__(self, dtype: object = None, copy: object = None) -> Floats:
        """All samples at once, for those who can hold them."""
        whole = np.empty(self.shape, np.float32)
        for at in range(0, len(self), _BLOCK):
            whole[at : at + _BLOCK] = self[at : at + _BLOCK]
        return whole

    def content(self) -> Iterator[bytes]:
        """What tells these samples from others, for a digest, without making them."""
        yield f"{self.recordings.fingerprint} {self.binning}".encode()
        yield self.rows.tobytes()


def _frames(
    recordings: Recordings, rows: NDArray[np.int64], binning: Binning, frame: tuple[int, int, int]
) -> Floats:
    """[B, T, C, H, W] of the recordings `rows`."""
    start, stop = recordings.start[rows], recordings.start[rows + 1]
    length = stop - start
    t = _joined(recordings.t, start, stop).astype(np.int64)
    address = _joined(recordings.address, start, stop)
    sample = np.repeat(np.arange(len(rows)), length)
    step = _STEPS[binning.by](t, length, binning)
    pixels = _pixels(recordings.sensor, binning, frame)
    if len(address) and int(address.max()) >= len(pixels):
        raise DataError(
            f"packed recordings hold address {address.max()}, allowed {len(pixels) - 1}; remove them"
        )
    cell = (sample * binning.steps + step) * (frame[0] * frame[1] * frame[2]) + pixels[address]
    if binning.window_s is not None:
        cell = cell[step < binning.steps]
    flat = np.zeros(len(rows) * binning.steps * frame[0] * frame[1] * frame[2], np.float32)
    if binning.counts:
        np.add.at(flat, cell, np.float32(1))
    else:
        flat[cell] = 1
    return flat.reshape(len(rows), binning.steps, *frame)


def _joined(events: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[Any]:
    pieces = [events[a:b] for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
    return np.concatenate(pieces) if pieces else events[:0]


def _by_time(t: NDArray[np.int64], length: NDArray[np.int64], binning: Binning) -> NDArray[np.int64]:
    """Step of each event; T or more where it lies after the window."""
    if binning.window_s is not None:
        return t * binning.steps // max(1, round(binning.window_s * 1e6))
    filled = length > 0
    last = np.zeros(len(length), np.int64)
    if len(t):
        begin = np.concatenate([[0], np.cumsum(length)[:-1]])
        last[filled] = np.maximum.reduceat(t, begin[filled])
    return t * binning.steps // np.repeat(last + 1, length)


def _by_count(t: NDArray[np.int64], length: NDArray[np.int64], binning: Binning) -> NDArray[np.int64]:
    """Step of each event, those after the window neither counted nor kept."""
    if binning.window_s is None:
        inside = np.ones(len(t), np.bool_)
    else:
        inside = t < round(binning.window_s * 1e6)
    sample = np.repeat(np.arange(len(length)), length)
    kept = np.bincount(sample[inside], minlength=len(length))
    first = np.concatenate([[0], np.cumsum(kept)[:-1]])[: len(length)]
    step = np.full(len(t), binning.steps)
    number = np.arange(int(kept.sum())) - np.repeat(first, kept)
    step[inside] = number * binning.steps // np.repeat(kept, kept)
    return step


_STEPS = {"time": _by_time, "count": _by_count}


def _pixels(sensor: tuple[int, int, int], binning: Binning, frame: tuple[int, int, int]) -> NDArray[np.int64]:
    """Cell of a frame for each address of the sensor."""
    channel, y, x = np.indices(sensor).reshape(3, -1)
    channel = channel * 0 if binning.polarity == "merge" else channel
    return (channel * frame[1] + y // binning.downsample) * frame[2] + x // binning.downsample

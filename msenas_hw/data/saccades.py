"""Events simulated from pictures that move as in N-MNIST: where no recording is at hand.

A set made by this is called `<pictures>-saccade-sim` and is marked as simulated in its facts. It is no
recording: figures on it say nothing about N-MNIST or CIFAR10-DVS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.source import Bytes, Images, Recording

Floats = NDArray[np.float32]
SIDE = 34
_BATCH = 64
_STEP_US = 1000
_LEG_US = 105_000
# Corners of the triangle of N-MNIST, in pixels (x, y), and the share of a leg in which the camera moves.
_CORNERS = ((0.0, 0.0), (3.5, 7.0), (7.0, 0.0), (0.0, 0.0))
_BEGIN, _END = 0.1, 0.8


@dataclass(frozen=True)
class Sensor:
    """An event camera: a pixel fires for each `threshold` of change of log(dark + intensity).

    Fitted on 100 training recordings of N-MNIST, without their labels: 4,136 events a digit against 4,011;
    over 9 spans of time, correlation of the profile 0.99, of the count images 0.85, of the frames 0.58.

    Attributes:
        threshold: mean over pixels, natural logarithm.
        spread: standard deviation of the threshold over pixels.
        dark: intensity that is added.
        noise_hz: events a second and pixel without cause.
        seed: a sample's random numbers are those of (seed, part, index).
    """

    threshold: float = 0.55
    spread: float = 0.055
    dark: float = 0.1
    noise_hz: float = 1.0
    seed: int = 0


SENSOR = Sensor()


def simulated(
    images: Images, levels: int, most: dict[str, int], sensor: Sensor = SENSOR
) -> Iterator[Recording]:
    """Events of the first `most` pictures of each part, in polarities (1 = darker), 34 rows, 34 columns.

    Pictures smaller than half of the sensor are enlarged by whole numbers.
    """
    for number, (part, (pictures, labels)) in enumerate(sorted(images.items())):
        count = min(most.get(part, len(labels)), len(labels))
        for at in range(0, count, _BATCH):
            rows = range(at, min(at + _BATCH, count))
            yield from _batch(part, number, rows, pictures[at : rows.stop], labels, levels, sensor)


def _batch(
    part: str,
    number: int,
    rows: range,
    pictures: Bytes,
    labels: NDArray[np.int64],
    levels: int,
    sensor: Sensor,
) -> Iterator[Recording]:
    generators = [np.random.default_rng([sensor.seed, number, row]) for row in rows]
    spread = [rng.normal(sensor.threshold, sensor.spread, (SIDE, SIDE)) for rng in generators]
    threshold = np.maximum(np.stack(spread), sensor.threshold / 5).astype(np.float32)
    columns = _crossings(_enlarged(pictures[:, 0]) / np.float32(levels), threshold, sensor)
    order = np.lexsort((columns[1], columns[0]))
    bounds = np.searchsorted(columns[0][order], np.arange(len(rows) + 1))
    for i, row in enumerate(rows):
        chosen = order[bounds[i] : bounds[i + 1]]
        t, y, x, p = (np.concatenate(pair) for pair in zip(
            (column[chosen] for column in columns[1:]), _noise(generators[i], sensor), strict=True
        ))  # fmt: skip
        sort = np.argsort(t, kind="stable")
        yield Recording(part, int(labels[row]), (row,), t[sort], x[sort], y[sort], p[sort])


def _enlarged(pictures: Bytes) -> Floats:
    """[B, H, W] with each pixel repeated as often as fits 28 x 28."""
    factor = max(1, 28 // max(pictures.shape[1:]))
    return pictures.repeat(factor, axis=1).repeat(factor, axis=2).astype(np.float32)


def _noise(rng: np.random.Generator, sensor: Sensor) -> tuple[NDArray[np.int64], ...]:
    """t, y, x and p of events without cause."""
    length = 3 * _LEG_US
    count = int(rng.poisson(sensor.noise_hz * SIDE * SIDE * length * 1e-6))
    return tuple(rng.integers(0, limit, count) for limit in (length, SIDE, SIDE, 2))


def _crossings(pictures: Floats, threshold: Floats, sensor: Sensor) -> tuple[NDArray[np.int64], ...]:
    """Sample, t, y, x and p of every threshold that the moving pictures cross."""
    threshold = threshold.ravel()
    before = np.log(np.float32(sensor.dark) + _placed(pictures, 0)).ravel()
    memory, found = before.copy(), [np.zeros((3, 0), np.int64)]
    for at in filter(_moves, range(_STEP_US, 3 * _LEG_US + 1, _STEP_US)):
        now = np.log(np.float32(sensor.dark) + _placed(pictures, at)).ravel()
        cells = np.flatnonzero(np.abs(now - memory) >= threshold)
        steps = np.trunc((now[cells] - memory[cells]) / threshold[cells])
        for k in range(1, int(np.abs(steps).max(initial=0)) + 1):
            far = np.abs(steps) >= k
            hit, sign = cells[far], np.sign(steps[far])
            change = now[hit] - before[hit]
            # Where rounding alone completes a step, nothing changed within it.
            share = (memory[hit] + sign * k * threshold[hit] - before[hit]) / np.where(
                change == 0, np.inf, change
            )
            t = at - _STEP_US + (np.clip(share, 0, 1) * (_STEP_US - 1)).astype(np.int64)
            found.append(np.stack((hit, t, (sign < 0).astype(np.int64))))
        memory[cells] += steps * threshold[cells]
        before = now
    cell, t, p = np.concatenate(found, axis=1)
    sample, y, x = np.unravel_index(cell, (len(pictures), SIDE, SIDE))
    return sample, t, y, x, p


def _moves(at: int) -> bool:
    """Whether the picture moves within the step that ends at `at`."""
    share = at % _LEG_US / _LEG_US
    return _BEGIN < share <= _END + _STEP_US / _LEG_US


def _shift(at: int) -> tuple[float, float]:
    """(x, y) in pixels: minimum-jerk motion along each leg."""
    leg = min(at // _LEG_US, 2)
    u = min(max(((at - leg * _LEG_US) / _LEG_US - _BEGIN) / (_END - _BEGIN), 0.0), 1.0)
    done = u**3 * (10 - 15 * u + 6 * u * u)
    (x0, y0), (x1, y1) = _CORNERS[leg], _CORNERS[leg + 1]
    return x0 + done * (x1 - x0), y0 + done * (y1 - y0)


def _placed(pictures: Floats, at: int) -> Floats:
    """[B, 34, 34]: the pictures where they are at a time, interpolated between pixels."""
    height, width = pictures.shape[1:]
    x, y = _shift(at)
    # Centred in the middle of the motion; a margin takes what leaves the sensor.
    margin = 4
    left, top = (SIDE - width) / 2 - 3.5 + x + margin, (SIDE - height) / 2 - 3.5 + y + margin
    column, row = int(left), int(top)
    right, down = np.float32(left - column), np.float32(top - row)
    canvas = np.zeros((len(pictures), SIDE + 2 * margin, SIDE + 2 * margin), np.float32)
    for dy, wy in ((0, 1 - down), (1, down)):
        for dx, wx in ((0, 1 - right), (1, right)):
            canvas[:, row + dy : row + dy + height, column + dx : column + dx + width] += wy * wx * pictures
    return canvas[:, margin : margin + SIDE, margin : margin + SIDE]

"""Populations and convolutions whose spikes are bytes (`spikes.inc`), for runs that nothing differentiates.

Spikes are uint8 [steps, samples, *size, channels], part of a larger batch or all of it; currents and
membranes are float32 of the same shape, on their own. The neurons of one sample lie side by side.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather
from targets.reference.kernels.memory import check, empty
from targets.reference.kernels.population import LAST, Population
from targets.reference.kernels.reach import LANES, Reach

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_NO_MEMORY = "no memory for the spikes of a sample"


class _Stretch(ctypes.Structure):
    _fields_ = [(name, _LONG) for name in ("steps", "samples", "neurons", "stride")]


class _Movement(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_double) for name in ("moved", "slope", "bend")),
        *((name, ctypes.c_float) for name in ("largest", "limit")),
        ("eights", _LONG),
        ("low", _POINTER),
    ]


class _Link(ctypes.Structure):
    _fields_ = [
        ("geometry", _POINTER),
        ("reach", _POINTER),
        *((name, _LONG) for name in ("delay", "stride")),
        *((name, _POINTER) for name in ("spikes", "weight", "bias", "dense")),
    ]


class _Part(ctypes.Structure):
    _fields_ = [
        ("coefficients", _POINTER),
        *((name, _LONG) for name in ("neurons", "links")),
        ("link", _POINTER),
        ("stride", _LONG),
        *((name, _POINTER) for name in ("out", "counts", "every", "movement")),
    ]


class Movement:
    """How far the potentials of a population move around each sample's own mean over time.

    Attributes:
        largest: the largest potential so far.
    """

    def __init__(self) -> None:
        self._found = _Movement(largest=-math.inf, limit=math.inf)
        self._low: list[Tensor] = []

    @property
    def largest(self) -> float:
        return float(self._found.largest)

    def total(self) -> float:
        """Squared deviations of all potentials seen, held above minus the largest one."""
        found, highest = self._found, max(self.largest, 0.0)
        more = max(found.limit, 0.0) - highest if found.limit < math.inf else 0.0
        held = sum(_functions().held_movement(*x.shape[:2], x.data_ptr(), -highest) for x in self._low)
        return float(found.moved + 2 * more * found.slope + more**2 * found.bend + held)

    def begin(self, samples: int, neurons: int, steps: int) -> int:
        """Its address for a kernel that shows it so many potentials, all of which may fall low."""
        self._room = empty((samples * -(-neurons // LANES), steps, LANES), torch.float32)
        self._found.low, self._found.eights = self._room.data_ptr(), 0
        return ctypes.addressof(self._found)

    def end(self) -> None:
        """The kernel is done: what fell low waits until the largest potential is known."""
        if self._found.eights:
            low = self._room[: self._found.eights]
            self._low.append(empty(low.shape, torch.float32).copy_(low))
        del self._room

    def see(self, v: Tensor) -> None:
        """Potentials [steps, samples, ...]."""
        check(torch.float32, v.numel(), v)
        if _functions().movement(_stretch(v, 0), v.data_ptr(), self.begin(1, v[0].numel(), v.shape[0])):
            raise MemoryError(_NO_MEMORY)
        self.end()


@dataclass(frozen=True)
class ByteSynapse:
    """A convolution of one group, or a matrix as one of a single pixel, with its parameters packed."""

    gather: Gather
    reach: Reach
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, gather: Gather, weight: Tensor, bias: Tensor | None) -> ByteSynapse:
        """`weight` [out, channels, *kernel] and `bias` [out], float32."""
        reach = Reach.of(gather.geometry)
        return cls(gather, reach, *reach.packed(weight, bias))

    def add(self, spikes: Tensor, current: Tensor, first: bool) -> None:
        """What `spikes` bring, into `current` where it is the `first`, else added to it."""
        steps, samples = spikes.shape[:2]
        g = self.gather.geometry
        outs = g.out_channels * g.out_height * g.out_width
        check(torch.float32, steps * samples * outs, current)
        _check_spikes(spikes, g.channels * g.height * g.width)
        failed = _functions().scatter_bytes(
            ctypes.byref(g),
            ctypes.byref(self.reach),
            _stretch(spikes, spikes.stride(0)),
            spikes.data_ptr(),
            self.weight.data_ptr(),
            self.bias.data_ptr(),
            not first,
            current.data_ptr(),
        )
        if failed:
            raise MemoryError(_NO_MEMORY)


@dataclass(frozen=True)
class Fed:
    """What leads to a population: spikes [S, B, ...] over a `synapse`, `delay` steps later; or currents."""

    values: Tensor
    synapse: ByteSynapse | None = None
    delay: int = 0

    def packed(self, neurons: int) -> _Link:
        if self.synapse is None:
            check(torch.float32, neurons * self.values.shape[0] * self.values.shape[1], self.values)
            return _Link(dense=self.values.data_ptr())
        g, synapse = self.synapse.gather.geometry, self.synapse
        _check_spikes(self.values, g.channels * g.height * g.width)
        if neurons != g.out_channels * g.out_height * g.out_width:
            raise ValueError(f"kernels: a synapse leads to {neurons} neurons, not as many as it gives")
        return _Link(
            ctypes.addressof(g),
            ctypes.addressof(synapse.reach),
            self.delay,
            self.values.stride(0),
            self.values.data_ptr(),
            synapse.weight.data_ptr(),
            synapse.bias.data_ptr(),
            None,
        )


@dataclass(frozen=True)
class Part:
    """A population of a component, and where its run goes.

    Attributes:
        population: of at most one spike a step.
        spikes: uint8 [S, B, ...].
        counts: int64 [...], added to.
        every: the membranes [S, B, ...], where they are asked for.
        movement: sees the membranes.
    """

    population: Population
    fed: Sequence[Fed]
    spikes: Tensor
    counts: Tensor
    every: Tensor | None = None
    movement: Movement | None = None


def run(parts: Sequence[Part], together: bool) -> None:
    """Run a component from zero: one population, or several `together`, step by step in their order."""
    if not together and len(parts) != 1:
        raise ValueError(f"kernels: found {len(parts)} populations that do not step together, allowed one")
    steps, samples = parts[0].spikes.shape[:2]
    links = [
        (_Link * len(p.fed))(*(fed.packed(math.prod(p.population.shape)) for fed in p.fed)) for p in parts
    ]
    table = (_Part * len(parts))()
    for row, part, link in zip(table, parts, links, strict=True):
        neurons = math.prod(part.population.shape)
        _check_spikes(part.spikes, neurons)
        check(torch.int64, neurons, part.counts)
        check(torch.float32, part.spikes.numel(), part.every)
        if part.spikes.shape[:2] != (steps, samples) or any(
            f.values.shape[:2] != (steps, samples) for f in part.fed
        ):
            raise ValueError("kernels: populations of one component with different steps or samples")
        row.coefficients = ctypes.addressof(part.population.packed[LAST])
        row.neurons, row.links = neurons, len(part.fed)
        row.link, row.stride = ctypes.addressof(link), part.spikes.stride(0)
        row.out, row.counts = part.spikes.data_ptr(), part.counts.data_ptr()
        row.every = None if part.every is None else part.every.data_ptr()
        seen = part.movement
        row.movement = None if seen is None else seen.begin(samples, neurons, steps)
    stretch = ctypes.byref(_Stretch(steps, samples, 0, 0))
    if _functions().run_bytes(ctypes.byref(table), len(parts), together, stretch):
        raise MemoryError(_NO_MEMORY)
    for part in parts:
        if part.movement is not None:
            part.movement.end()


def peak(population: Population, current: Tensor) -> Tensor:
    """The largest membrane [B, ...] over the steps of `current` [S, B, ...] where nothing fires."""
    check(torch.float32, current.numel(), current)
    out = torch.empty(current.shape[1:])
    packed = ctypes.byref(population.packed[LAST])
    _functions().peak(packed, _stretch(current, 0), current.data_ptr(), out.data_ptr())
    return out


def _stretch(x: Tensor, stride: int) -> ctypes.c_void_p:
    steps, samples = x.shape[:2]
    return ctypes.byref(_Stretch(steps, samples, x.numel() // max(steps * samples, 1), stride))  # type: ignore[return-value]


def _check_spikes(spikes: Tensor, neurons: int) -> None:
    fits = (
        spikes.dtype == torch.uint8
        and spikes.is_cpu
        and spikes.numel() == neurons * spikes.shape[0] * spikes.shape[1]
    )
    if not (fits and spikes[0].is_contiguous()):
        raise ValueError(
            f"kernels: found spikes {spikes.dtype} {tuple(spikes.shape)} with strides {spikes.stride()} on "
            f"{spikes.device}, allowed uint8 with {neurons} neurons side by side on the CPU"
        )


class _Functions(NamedTuple):
    scatter_bytes: Any
    run_bytes: Any
    movement: Any
    held_movement: Any
    peak: Any


@cache
def _functions() -> _Functions:
    library = kernels("c").library
    assert library is not None
    found = _Functions(*(library[name] for name in _Functions._fields))
    number = ctypes.c_int32
    found.scatter_bytes.argtypes = [*[_POINTER] * 6, number, _POINTER]
    found.run_bytes.argtypes = [_POINTER, _LONG, _LONG, _POINTER]
    found.movement.argtypes = [_POINTER] * 3
    found.held_movement.argtypes = [_LONG, _LONG, _POINTER, ctypes.c_float]
    found.held_movement.restype = ctypes.c_double
    found.peak.argtypes, found.peak.restype = [_POINTER] * 4, None
    return found

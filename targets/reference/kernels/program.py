"""Operations by the C kernels (`cycle.inc`), stage after stage.

A stage is some operations and its turns: C runs operation after operation and turn after turn. A turn is
one step in a cyclic component; outside cycles, a stage has a single turn, in which each operation takes all
steps. What C cannot do, such as a dense layer, it leaves to the operation's own `forward(t)` and
`backward(t)`, and goes on behind it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Geometry
from targets.reference.kernels.layout import DTYPES
from targets.reference.kernels.memory import empty
from targets.reference.kernels.population import Packed
from targets.reference.surrogate import SLOPE

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
# As in kernels.c.
ELSEWHERE, INTEGRATE, CONVOLVE, ADD, TRANSPOSE = range(5)


class _Tap(ctypes.Structure):
    _fields_ = [
        *((name, _POINTER) for name in ("values", "held", "gradient", "held_gradient", "some", "held_some")),
        *((name, _LONG) for name in ("stride", "lag", "slots", "size")),
    ]


class _Operation(ctypes.Structure):
    _fields_ = [
        *((name, _LONG) for name in ("kind", "terms", "samples", "steps", "size", "stride")),
        ("taps", ctypes.POINTER(_Tap)),
        ("outside", ctypes.POINTER(_Tap)),
        ("out", _POINTER),
        ("coefficients", ctypes.POINTER(Packed)),
        *((name, _POINTER) for name in ("u", "v")),
        ("kept", _LONG),
        ("counts", _POINTER),
        ("blank", _LONG),
        ("geometry", ctypes.POINTER(Geometry)),
        *((name, _POINTER) for name in ("weight", "bias", "weight_back")),
        *((name, _LONG) for name in ("most", "vectors", "vectors_back")),
        ("left", _POINTER),
        *((name, _LONG) for name in ("rows", "columns")),
        *((name, _POINTER) for name in ("factor", "asked", "gradient", "some")),
        ("slots", _LONG),
        *((name, _POINTER) for name in ("to_u", "to_v", "to_weight", "to_bias", "to_factor", "scratch")),
    ]


@dataclass(frozen=True)
class Ring:
    """Gradients of a signal's steps, `values` [slots, *shape]; step t is in slot t % slots.

    Attributes:
        some: 1 where there is any.
    """

    values: Tensor
    some: NDArray[np.uint8]

    @classmethod
    def of(cls, slots: int, like: Tensor) -> Ring:
        """Empty, for values like those of `like` [any, *shape]."""
        return cls(empty((slots, *like.shape[1:]), like.dtype), np.zeros(slots, np.uint8))

    def add(self, t: int, gradient: Tensor) -> None:
        """One more part of the gradient of step t."""
        slot = t % len(self.values)
        if self.some[slot]:
            self.values[slot] += gradient
        else:
            self.values[slot].copy_(gradient)
            self.some[slot] = 1

    def whole(self) -> Tensor:
        """The gradients of all steps, one a slot; zeros where there is none."""
        for slot in np.flatnonzero(self.some == 0):
            self.values[slot] = 0
        return self.values


@dataclass(frozen=True)
class Tap:
    """What an operation reads: `held` [lag, *shape] first, then `values` [S or 1, *shape].

    Attributes:
        ring, held_ring: where the gradients go; None where nobody wants them.
    """

    values: Tensor
    ring: Ring | None = None
    held: Tensor | None = None
    held_ring: Ring | None = None

    def packed(self) -> _Tap:
        values, held, ring, held_ring = self.values, self.held, self.ring, self.held_ring
        steps = max(values.shape[0], 1)
        size = values.numel() // steps
        return _Tap(
            values.data_ptr(),
            None if held is None else held.data_ptr(),
            None if ring is None else ring.values.data_ptr(),
            None if held_ring is None else held_ring.values.data_ptr(),
            None if ring is None else ring.some.ctypes.data,
            None if held_ring is None else held_ring.some.ctypes.data,
            size if steps > 1 else 0,
            0 if held is None else held.shape[0],
            1 if ring is None else len(ring.some),
            size,
        )


class Operation(Protocol):
    """A signal that a program works out; its tensors are contiguous, of one dtype and of its shape.

    Attributes:
        extent: the samples in a row and the steps that one turn takes.
        whole: a turn takes all steps.
    """

    kind: int
    whole: bool

    @property
    def buffer(self) -> Tensor: ...

    @property
    def extent(self) -> tuple[int, int]: ...

    def taps(self) -> Sequence[Tap]: ...

    def fields(self) -> Mapping[str, Any]:
        """More fields of `_Operation`: numbers, tensors, taps and structures."""
        ...

    def bound(self) -> Mapping[str, Tensor | int | None]:
        """Those of them that another run may change."""
        ...

    def forward(self, t: int) -> None: ...

    def backward(self, t: int) -> None: ...


class Program:
    """`operations` in the order in which a turn runs them; `stages` are their numbers and turns."""

    def __init__(
        self, operations: Sequence[Operation], stages: Sequence[tuple[int, int]], dtype: torch.dtype
    ) -> None:
        self.operations, self.dtype = operations, dtype
        self._functions = _functions(DTYPES[dtype])
        # What the structures point to.
        self._held: list[Any] = []
        self._packed = (_Operation * len(operations))()
        for packed, operation in zip(self._packed, operations, strict=True):
            self._pack(packed, operation)
        self._stages: list[tuple[int, int, int, int]] = []
        at = 0
        for number, turns in stages:
            address = ctypes.addressof(self._packed) + at * ctypes.sizeof(_Operation)
            self._stages.append((at, address, number, turns))
            at += number

    def _pack(self, packed: _Operation, operation: Operation) -> None:
        taps, out = [tap.packed() for tap in operation.taps()], operation.buffer
        packed.kind, packed.terms = operation.kind, len(taps)
        packed.samples, packed.steps = operation.extent
        packed.size = packed.samples * math.prod(out.shape[2:])
        packed.stride = 0 if operation.whole or out.shape[0] == 1 else packed.size
        packed.taps, packed.out = (_Tap * len(taps))(*taps), out.data_ptr()
        for name, value in operation.fields().items():
            if value is not None:
                self._set(packed, name, value)

    def _set(self, packed: _Operation, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._held.append(value)
            value = value.data_ptr()
        elif isinstance(value, np.ndarray):
            value = value.ctypes.data
        elif isinstance(value, Tap):
            value = ctypes.pointer(value.packed())
        elif isinstance(value, ctypes.Structure):
            value = ctypes.pointer(value)
        setattr(packed, name, value)

    def rebind(self) -> None:
        """What another run may change is looked up again; whoever gives it must hold it."""
        for packed, operation in zip(self._packed, self.operations, strict=True):
            for name, value in operation.bound().items():
                setattr(packed, name, value.data_ptr() if isinstance(value, Tensor) else value)

    def forward(self) -> None:
        """All stages."""
        run = self._functions[0]
        for first, address, number, turns in self._stages:
            place = 0
            while (place := run(address, number, turns, place)) < number * turns:
                if place < 0:
                    raise MemoryError("no memory for the events of a frame")
                self.operations[first + place % number].forward(place // number)
                place += 1

    def backward(self) -> None:
        """The only stage, from its last turn to the first."""
        ((_, address, number, turns),) = self._stages
        sizes = [size for packed in self._packed for size in (packed.size, packed.taps[0].size)]
        scratch = torch.empty(max(sizes), dtype=self.dtype)
        for packed in self._packed:
            packed.scratch = scratch.data_ptr()
        place = number * turns - 1
        while (place := self._functions[1](address, number, place, SLOPE)) >= 0:
            self.operations[place % number].backward(place // number)
            place -= 1
        if place < -1:
            raise MemoryError("no memory for the gradient of a step")


@cache
def _functions(dtype: str) -> tuple[Callable[..., int], Callable[..., int]]:
    library = kernels("c").library
    assert library is not None
    forward, backward = library[f"cycle_forward_{dtype}"], library[f"cycle_backward_{dtype}"]
    forward.argtypes = [_POINTER, _LONG, _LONG, _LONG]
    backward.argtypes = [_POINTER, _LONG, _LONG, ctypes.c_double]
    forward.restype = backward.restype = _LONG
    return forward, backward

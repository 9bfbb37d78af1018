"""Populations over time by the C kernels (`scan.inc`), forward and backward.

Each kernel computes what `targets.reference.scan.step` does, step after step, to the last bit; the
backward pass is written by hand and recomputes the membranes from the current, which is all it keeps.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from targets.graph.shapes import Shape
from targets.reference.kernels.layout import DTYPES, Layout, layout
from targets.reference.kernels.memory import check, empty
from targets.reference.surrogate import SLOPE

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
# Leading axes of a `Stretch`.
_LEADS = (2, 1, 1, 2, 2)
LAST = Layout(True)
# As CHUNK in scan.inc.
_CHUNK = 1024
# As in kernels.c.
_RESETS = {"to_value": 1, "subtract": 2, "subtract_late": 3}


class Packed(ctypes.Structure):
    """As `coefficients` in scan.inc."""

    _fields_ = [
        *(
            (name, _POINTER)
            for name in ("gain", "decay", "decay_synapse", "leak", "threshold", "reset", "clip")
        ),
        *((name, ctypes.c_int32) for name in ("rule", "inclusive", "many", "alike")),
    ]


class _Drive(ctypes.Structure):
    _fields_ = [
        *((name, _LONG) for name in ("steps", "batch", "neurons")),
        *((name, _POINTER) for name in ("current", "u_first", "v_first")),
    ]


class _Gradients(ctypes.Structure):
    _fields_ = [
        (name, _POINTER)
        for name in ("out", "u_last", "v_last", "u_every", "v_every", "current", "u_first", "v_first")
    ]


class Stretch(NamedTuple):
    """Outputs and states of a stretch of steps; None where absent or not asked for."""

    outputs: Tensor
    v_last: Tensor
    u_last: Tensor | None
    v_every: Tensor | None
    u_every: Tensor | None


@dataclass(frozen=True)
class Population:
    """Coefficients packed for the kernels of one library.

    Attributes:
        shape: of one sample, its channels first.
        packed: for values that lie with their channels first, and last.
        held: the tensors that `packed` points into.
        synapse: whether there is a synaptic current.
    """

    library: ctypes.CDLL
    dtype: torch.dtype
    shape: Shape
    packed: Mapping[Layout, Packed]
    held: tuple[Tensor, ...]
    synapse: bool

    @classmethod
    def of(cls, library: ctypes.CDLL, terms: dict[str, Tensor | None], rule: Any) -> Population | None:
        """Terms [*shape] by the names of `Coefficients`; None where the kernels cannot take them."""
        absent = {"clip"} if rule is None else set[str]()
        held = {n: term.contiguous() for n, term in terms.items() if term is not None and n not in absent}
        gain = held["gain"]
        if gain.dtype not in DTYPES:
            return None
        if any(t.requires_grad or t.device.type != "cpu" for t in held.values()):
            return None
        packed: dict[Layout, Packed] = {}
        kept: list[Tensor] = []
        # Where all neurons are alike, coefficients of one chunk stay in the first cache.
        alike = all(bool((term == term.flatten()[0]).all()) for term in held.values())
        for lay in (Layout(False), Layout(True)):
            laid = {name: _one(term) if alike else lay.laid(term, 0) for name, term in held.items()}
            packed[lay] = found = Packed(**{name: term.data_ptr() for name, term in laid.items()})
            if "threshold" in held:
                found.rule = _RESETS["to_value" if rule is None else rule.reset]
            found.inclusive = rule is not None and rule.inclusive
            found.many, found.alike = rule is not None and rule.many, alike
            kept += laid.values()
        return cls(library, gain.dtype, tuple(gain.shape), packed, tuple(kept), "decay_synapse" in held)

    def takes(self, current: Tensor) -> bool:
        """Whether the kernels can run `current` [S, B, *shape]."""
        return (
            current.dtype == self.dtype and current.device.type == "cpu" and current.shape[2:] == self.shape
        )

    def scan(
        self,
        current: Tensor,
        u: Tensor | None,
        v: Tensor | None,
        history: bool,
        through_time: bool,
        counts: Tensor | None,
    ) -> Stretch:
        """Run over `current` [S, B, *shape] from `u` and `v` [B, *shape], None for zero.

        Args:
            counts: int64 [*shape], to which the spikes of every neuron are added.
        """
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (current, u, v)):
            found = _Scan.apply(self, history, through_time, counts, current, u, v)  # type: ignore[no-untyped-call]
            return Stretch(*found)
        lay = layout(current, 2)
        laid = (lay.laid(current, 2), _laid(lay, u, 1), _laid(lay, v, 1))
        return self.forward(lay, *laid, history, counts)

    def forward(
        self,
        lay: Layout,
        current: Tensor,
        u: Tensor | None,
        v: Tensor | None,
        history: bool,
        counts: Tensor | None,
    ) -> Stretch:
        """As `scan`, without gradient, on tensors laid as `lay`; what it gives is as everyone sees it."""
        check(self.dtype, math.prod(current.shape[1:]), u, v)
        total = _laid(lay, counts, 0)
        check(torch.int64, math.prod(self.shape), total)
        last = torch.empty(current.shape[1:], dtype=self.dtype)
        found = Stretch(
            empty(current.shape, self.dtype),
            last,
            torch.empty_like(last) if self.synapse else None,
            empty(current.shape, self.dtype) if history else None,
            empty(current.shape, self.dtype) if history and self.synapse else None,
        )
        forward, _ = _functions(self.library, DTYPES[self.dtype])
        forward(
            ctypes.byref(self.packed[lay]),
            ctypes.byref(_drive(current, u, v)),
            *map(_at, (found.outputs, found.u_last, found.v_last, found.u_every, found.v_every, total)),
            False,
        )
        if counts is not None and total is not None and total.data_ptr() != counts.data_ptr():
            counts.copy_(lay.seen(total, 0))
        seen = (None if x is None else lay.seen(x, n) for x, n in zip(found, _LEADS, strict=True))
        return Stretch(*seen)  # type: ignore[arg-type]

    def backward(
        self,
        lay: Layout,
        current: Tensor,
        u: Tensor | None,
        v: Tensor | None,
        through_time: bool,
        given: Stretch,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Gradients of the current, of `u` and of `v`, from those of what `forward` gave."""
        kept = [_laid(lay, g, n) for g, n in zip(given, _LEADS, strict=True)]
        outputs, v_last, u_last, v_every, u_every = kept
        check(self.dtype, current.numel(), outputs, v_every, u_every)
        check(self.dtype, current[0].numel(), u, v, v_last, u_last)
        out = empty(current.shape, self.dtype)
        v_first = torch.empty(current.shape[1:], dtype=self.dtype)
        u_first = torch.empty_like(v_first) if self.synapse else None
        _, backward = _functions(self.library, DTYPES[self.dtype])
        pointers = map(_at, (outputs, u_last, v_last, u_every, v_every, out, u_first, v_first))
        failed = backward(
            ctypes.byref(self.packed[lay]),
            ctypes.byref(_drive(current, u, v)),
            ctypes.byref(_Gradients(*pointers)),
            SLOPE,
            through_time,
        )
        if failed:
            raise MemoryError(f"no memory for the membranes of {current.shape[0]} steps")
        return lay.seen(out, 2), None if u_first is None else lay.seen(u_first, 1), lay.seen(v_first, 1)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        population: Population,
        history: bool,
        through_time: bool,
        counts: Tensor | None,
        current: Tensor,
        u: Tensor | None,
        v: Tensor | None,
    ) -> Stretch:
        lay = layout(current, 2)
        laid = (lay.laid(current, 2), _laid(lay, u, 1), _laid(lay, v, 1))
        ctx.population, ctx.through_time, ctx.layout = population, through_time, lay
        ctx.save_for_backward(*laid)
        ctx.set_materialize_grads(False)
        return tuple(population.forward(lay, *laid, history, counts))  # type: ignore[return-value]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = Stretch(*gradients)  # type: ignore[arg-type]
        found = ctx.population.backward(ctx.layout, *ctx.saved_tensors, ctx.through_time, given)
        asked = ctx.needs_input_grad[4:]
        return (
            None,
            None,
            None,
            None,
            *(g if wanted else None for g, wanted in zip(found, asked, strict=True)),
        )


@cache
def _functions(library: ctypes.CDLL, dtype: str) -> tuple[Callable[..., None], Callable[..., int]]:
    forward, backward = library[f"scan_forward_{dtype}"], library[f"scan_backward_{dtype}"]
    forward.argtypes, forward.restype = [*[_POINTER] * 8, ctypes.c_int], None
    backward.argtypes = [_POINTER, _POINTER, _POINTER, ctypes.c_double, ctypes.c_int]
    return forward, backward


def _drive(current: Tensor, u: Tensor | None, v: Tensor | None) -> _Drive:
    steps, batch = current.shape[:2]
    neurons = current.numel() // max(steps * batch, 1)
    return _Drive(steps, batch, neurons, current.data_ptr(), _at(u), _at(v))


def _one(term: Tensor) -> Tensor:
    return term.flatten()[:1].expand(_CHUNK).contiguous()


def _laid(lay: Layout, x: Tensor | None, lead: int) -> Tensor | None:
    return None if x is None else lay.laid(x, lead)


def _at(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()

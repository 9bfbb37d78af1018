"""Populations over time by the C kernels (`scan.inc`), forward and backward.

Each kernel computes what `targets.reference.scan.step` does, step after step, to the last bit; the
backward pass is written by hand and recomputes the membranes from the current, which is all it keeps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from targets.reference.kernels.memory import check, empty
from targets.reference.surrogate import SLOPE

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
# As in kernels.c.
_RESETS = {"to_value": 1, "subtract": 2, "subtract_late": 3}


class _Coefficients(ctypes.Structure):
    _fields_ = [
        *(
            (name, _POINTER)
            for name in ("gain", "decay", "decay_synapse", "leak", "threshold", "reset", "clip")
        ),
        *((name, ctypes.c_int32) for name in ("rule", "inclusive", "many")),
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
        held: the tensors that `packed` points into.
        synapse: whether there is a synaptic current.
    """

    library: ctypes.CDLL
    dtype: torch.dtype
    packed: _Coefficients
    held: tuple[Tensor, ...]
    synapse: bool

    @classmethod
    def of(cls, library: ctypes.CDLL, terms: dict[str, Tensor | None], rule: Any) -> Population | None:
        """Terms [*shape] by the names of `Coefficients`; None where the kernels cannot take them."""
        absent = {"clip"} if rule is None else set[str]()
        held = {n: term.contiguous() for n, term in terms.items() if term is not None and n not in absent}
        gain = held["gain"]
        if gain.dtype not in _DTYPES:
            return None
        if any(t.requires_grad or t.device.type != "cpu" for t in held.values()):
            return None
        packed = _Coefficients(**{name: term.data_ptr() for name, term in held.items()})
        if "threshold" in held:
            packed.rule = _RESETS["to_value" if rule is None else rule.reset]
        packed.inclusive = rule is not None and rule.inclusive
        packed.many = rule is not None and rule.many
        return cls(library, gain.dtype, packed, tuple(held.values()), "decay_synapse" in held)

    def takes(self, current: Tensor) -> bool:
        """Whether the kernels can run `current` [S, B, *shape]."""
        return (
            current.dtype == self.dtype
            and current.device.type == "cpu"
            and current.shape[2:] == self.held[0].shape
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
        return self.forward(current.contiguous(), _contiguous(u), _contiguous(v), history, counts)

    def forward(
        self, current: Tensor, u: Tensor | None, v: Tensor | None, history: bool, counts: Tensor | None
    ) -> Stretch:
        """As `scan`, without gradient, on contiguous tensors."""
        check(self.dtype, current[0].numel(), u, v)
        check(torch.int64, self.held[0].numel(), counts)
        last = torch.empty(current.shape[1:], dtype=self.dtype)
        found = Stretch(
            empty(current.shape, self.dtype),
            last,
            torch.empty_like(last) if self.synapse else None,
            empty(current.shape, self.dtype) if history else None,
            empty(current.shape, self.dtype) if history and self.synapse else None,
        )
        forward, _ = _functions(self.library, _DTYPES[self.dtype])
        forward(
            ctypes.byref(self.packed),
            ctypes.byref(_drive(current, u, v)),
            *map(_at, (found.outputs, found.u_last, found.v_last, found.u_every, found.v_every, counts)),
        )
        return found

    def step(
        self,
        current: Tensor,
        before: tuple[Tensor | None, Tensor],
        after: tuple[Tensor | None, Tensor],
        out: Tensor,
        counts: Tensor | None,
    ) -> None:
        """One step on `current` [B, *shape]: `out`, and the states u and v `after`, which may be `before`."""
        check(self.dtype, len(current) * self.held[0].numel(), current, *before, *after, out)
        check(torch.int64, self.held[0].numel(), counts)
        forward, _ = _functions(self.library, _DTYPES[self.dtype])
        forward(
            ctypes.byref(self.packed),
            ctypes.byref(_drive(current[None], *before)),
            *map(_at, (out, *after, None, None, counts)),
        )

    def step_backward(
        self,
        current: Tensor,
        before: tuple[Tensor | None, Tensor],
        out: Tensor | None,
        states: tuple[Tensor | None, Tensor],
        to_current: Tensor,
    ) -> None:
        """The gradient `to_current` of one step from those of `out` and `states`, which go back a step."""
        _, backward = _functions(self.library, _DTYPES[self.dtype])
        gradients = (_contiguous(out), *states, None, None, to_current, *states)
        check(self.dtype, len(current) * self.held[0].numel(), current, *before, *gradients)
        failed = backward(
            ctypes.byref(self.packed),
            ctypes.byref(_drive(current[None], *before)),
            ctypes.byref(_Gradients(*map(_at, gradients))),
            SLOPE,
            1,
        )
        if failed:
            raise MemoryError("no memory for the membranes of a step")

    def backward(
        self, current: Tensor, u: Tensor | None, v: Tensor | None, through_time: bool, given: Stretch
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Gradients of the current, of `u` and of `v`, from those of what `forward` gave."""
        kept = [
            _contiguous(g) for g in (given.outputs, given.u_last, given.v_last, given.u_every, given.v_every)
        ]
        check(self.dtype, current.numel(), *(kept[i] for i in (0, 3, 4)))
        check(self.dtype, current[0].numel(), u, v, *kept[1:3])
        out = empty(current.shape, self.dtype)
        v_first = torch.empty(current.shape[1:], dtype=self.dtype)
        u_first = torch.empty_like(v_first) if self.synapse else None
        _, backward = _functions(self.library, _DTYPES[self.dtype])
        failed = backward(
            ctypes.byref(self.packed),
            ctypes.byref(_drive(current, u, v)),
            ctypes.byref(_Gradients(*map(_at, (*kept, out, u_first, v_first)))),
            SLOPE,
            through_time,
        )
        if failed:
            raise MemoryError(f"no memory for the membranes of {current.shape[0]} steps")
        return out, u_first, v_first


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
        current, u, v = current.contiguous(), _contiguous(u), _contiguous(v)
        ctx.population, ctx.through_time = population, through_time
        ctx.save_for_backward(current, u, v)
        ctx.set_materialize_grads(False)
        return tuple(population.forward(current, u, v, history, counts))  # type: ignore[return-value]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        current, u, v = ctx.saved_tensors
        given = Stretch(*gradients)  # type: ignore[arg-type]
        found = ctx.population.backward(current, u, v, ctx.through_time, given)
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
    forward.argtypes, forward.restype = [_POINTER] * 8, None
    backward.argtypes = [_POINTER, _POINTER, _POINTER, ctypes.c_double, ctypes.c_int]
    return forward, backward


def _drive(current: Tensor, u: Tensor | None, v: Tensor | None) -> _Drive:
    steps, batch = current.shape[:2]
    neurons = current.numel() // max(steps * batch, 1)
    return _Drive(steps, batch, neurons, current.data_ptr(), _at(u), _at(v))


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _at(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()

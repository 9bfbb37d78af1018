"""Plain values and numpy arrays from a pickle, by an interpreter of its opcodes that can do nothing else.

No class is looked up and nothing is called: `pickletools.genops` names the opcodes, and a table says what
each of the few that such files hold does with the stack. All others are refused.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Axes of an array, at most.
_AXES = 8
# Element types that arrays may have; the byte order comes with the dtype's state.
_TYPES = ("u1", "i1", "i2", "i4", "i8", "f4", "f8", "b1")
_DTYPE, _ARRAY = "numpy dtype", "numpy ndarray"
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_SCALAR = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")
_ENCODE = "_codecs encode"
_NAMES = {_DTYPE, _ARRAY, *_RECONSTRUCT, *_SCALAR, _ENCODE}


@dataclass(frozen=True)
class _Name:
    """A global that the pickle names; never looked up."""

    text: str


@dataclass
class _Dtype:
    code: str
    order: str = "|"

    def build(self, state: Any, _: _Machine) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("a dtype has an unknown state")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(("" if self.order == "|" else self.order) + self.code)


@dataclass
class _Array:
    value: np.ndarray[Any, np.dtype[Any]] = field(default_factory=lambda: np.empty(0))

    def build(self, state: Any, machine: _Machine) -> None:
        _, shape, dtype, fortran, raw = state
        raw, kind = machine.raw(raw), dtype.numpy()
        if len(shape) > _AXES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"an array has {len(shape)} axes, allowed {_AXES} that are whole numbers")
        if len(raw) != math.prod(shape) * kind.itemsize:
            raise ValueError(f"an array of shape {shape} and type {kind} has {len(raw)} bytes")
        self.value = np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")


@dataclass
class _Machine:
    """Stack, memo and marks; `left` bounds the bytes that conversions may make."""

    left: int
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes with it."""
        at = self.marks.pop()
        above = self.stack[at:]
        del self.stack[at:]
        return above

    def popped(self, count: int) -> list[Any]:
        at = len(self.stack) - count
        if at < (self.marks[-1] if self.marks else 0):
            raise ValueError("the stack is empty")
        above = self.stack[at:]
        del self.stack[at:]
        return above

    def raw(self, value: Any) -> bytes:
        """Bytes that Python 2 stored as a string."""
        if isinstance(value, bytes):
            return value
        self.left -= len(value)
        if self.left < 0:
            raise ValueError("holds the same bytes again and again")
        encoded: bytes = value.encode("latin1")
        return encoded


def unpickled(raw: bytes) -> Any:
    """The value of a pickle of plain values and numpy arrays; strings of Python 2 are read as Latin-1.

    Raises:
        ValueError and its like: the pickle names or does anything else, or is broken.
    """
    machine = _Machine(left=4 * len(raw))
    for opcode, argument, at in pickletools.genops(raw):
        if opcode.name == "STOP":
            (value,) = machine.stack
            return _plain(value)
        act = _OPCODES.get(opcode.name)
        if act is None:
            raise ValueError(f"opcode {opcode.name} at byte {at} is not allowed")
        act(machine, argument)
    raise ValueError("the pickle has no end")


def _plain(value: Any) -> Any:
    """Arrays in place of what stood for them, in a dictionary or alone."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if isinstance(key, str | bytes)}
    return value.value if isinstance(value, _Array) else value


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _named(machine: _Machine, text: str) -> None:
    if text not in _NAMES:
        raise ValueError(f"names {text!r}, allowed numpy's arrays alone")
    machine.stack.append(_Name(text))


def _stack_named(machine: _Machine, _: Any) -> None:
    module, name = machine.popped(2)
    _named(machine, f"{module} {name}")


def _reduce(machine: _Machine, _: Any) -> None:
    """Call a named thing: here only what rebuilds arrays, by own means."""
    name, arguments = machine.popped(2)
    text = name.text if isinstance(name, _Name) else ""
    if text == _DTYPE and arguments and str(arguments[0]) in _TYPES:
        machine.stack.append(_Dtype(str(arguments[0])))
    elif text in _RECONSTRUCT:
        machine.stack.append(_Array())
    elif text in _SCALAR:
        dtype, raw = arguments
        machine.stack.append(np.frombuffer(machine.raw(raw), dtype.numpy(), 1)[0].item())
    elif text == _ENCODE and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1"):
        machine.stack.append(machine.raw(arguments[0]))
    else:
        raise ValueError(f"calls {text or type(name).__name__} with {len(arguments)} arguments, not allowed")


def _build(machine: _Machine, _: Any) -> None:
    (state,) = machine.popped(1)
    target = machine.stack[-1]
    if not isinstance(target, _Array | _Dtype):
        raise ValueError(f"sets the state of a {type(target).__name__}, not allowed")
    target.build(state, machine)


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise ValueError(f"appends to a {type(target).__name__}")
    target.extend(items)


def _set(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError(f"sets items of a {type(target).__name__}")
    # Anything else as a key may nest, and hashing does not bound how deep it goes.
    if not all(isinstance(key, str | bytes | int) for key in items[::2]):
        raise ValueError("has a key that is neither text nor a number")
    target.update(zip(items[::2], items[1::2], strict=True))


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _dict(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.stack.append({})
    _set(machine, items)


def _put(machine: _Machine, index: Any) -> None:
    machine.memo[len(machine.memo) if index is None else int(index)] = machine.stack[-1]


def _keep(machine: _Machine, _: Any) -> None:
    """Opcodes that say nothing about the value."""


def _tuple(count: int | None) -> Callable[[_Machine, Any], None]:
    def act(machine: _Machine, _: Any) -> None:
        machine.stack.append(tuple(machine.marked() if count is None else machine.popped(count)))

    return act


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _keep),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "FLOAT", "STRING", "BINSTRING",
         "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
         "BINBYTES8"),
        _push,
    ),
    "NONE": lambda machine, _: _push(machine, None),
    "NEWTRUE": lambda machine, _: _push(machine, True),
    "NEWFALSE": lambda machine, _: _push(machine, False),
    "MARK": _mark,
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_TUPLE": lambda machine, _: _push(machine, ()),
    "LIST": lambda machine, _: _push(machine, machine.marked()),
    "DICT": _dict,
    "TUPLE": _tuple(None), "TUPLE1": _tuple(1), "TUPLE2": _tuple(2), "TUPLE3": _tuple(3),
    "APPEND": lambda machine, _: _append(machine, machine.popped(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.marked()),
    "SETITEM": lambda machine, _: _set(machine, machine.popped(2)),
    "SETITEMS": lambda machine, _: _set(machine, machine.marked()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, index: _push(machine, machine.memo[int(index)])
    ),
    "GLOBAL": _named, "STACK_GLOBAL": _stack_named, "REDUCE": _reduce, "BUILD": _build,
}  # fmt: skip

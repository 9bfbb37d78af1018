"""The engine on the processor: `kernels.c`, driven by events or with products that skip no source."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.graph.order import components
from targets.loihi import limits
from targets.loihi.kernels.engine import NotSpikesError, Recording, local_delay, ordered
from targets.loihi.kernels.pack import (
    Layout,
    Synapses,
    current_bias,
    layouts,
    membrane_bias,
    narrow,
    synapses,
    wraps,
)
from targets.loihi.kernels.products import Products, products
from targets.loihi.program import FixedPopulation, Program

_WORD = 64
# Steps of a product that are taken at once where no cycle forbids it, and rows from which one step is enough.
_STRETCH = 8
_ROWS = 4
_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


# The four structures are as in kernels.c.
class _Hop(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "source delay"),
        *_fields(_POINTER, "dense"),
        *_fields(_LONG, "most exponent"),
        *_fields(_POINTER, "first runs rows"),
        *_fields(_LONG, "width divisor shift planar"),
        *_fields(_POINTER, "weights blocks table kinds"),
        *_fields(_LONG, "kind_count pairs size"),
    ]


class _Node(ctypes.Structure):
    _fields_ = [*_fields(_LONG, "neurons words planes depth"), *_fields(_POINTER, "masks counts")]


class _Population(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "node first_hop last_hop group together"),
        *_fields(_INT, "narrow exponent remembers shared wraps subtract threshold"),
        *_fields(_POINTER, "keep_u keep_v bias_u bias_v"),
        *_fields(_LONG, "rows_u rows_v tile"),
        *_fields(_POINTER, "tally u v place"),
        *_fields(_LONG, "size"),
        *_fields(_POINTER, "spikes u_every v_every"),
    ]


class _Network(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "batch steps elapsed inputs populations stretch widest values"),
        *_fields(_POINTER, "nodes hops members fed"),
    ]


@dataclass
class State:
    """`batch` samples after `elapsed` steps.

    Attributes:
        masks: `{node: uint64 [B, depth, planes, words]}`, spikes of the last steps as bits.
        u, v: `{population: int32 [B, padded neurons]}`.
    """

    batch: int
    elapsed: int
    masks: dict[str, NDArray[np.uint64]]
    u: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class _Packed:
    """One population; `hops` are sources, delays and weights. Flags and `group` as in kernels.c."""

    population: FixedPopulation
    layout: Layout
    group: int
    together: bool
    narrow: bool
    exponent: int
    wraps: bool
    keep_u: NDArray[np.int32]
    keep_v: NDArray[np.int32]
    bias_u: NDArray[np.int32] | None
    bias_v: NDArray[np.int32]
    tally: NDArray[np.uint8]
    hops: tuple[tuple[str, int, Synapses | Products], ...]


class CompiledEngine:
    """A program for the library; `dense`: all hops are products that skip no source."""

    def __init__(self, program: Program, library: ctypes.CDLL, dense: bool = False) -> None:
        self.said = "C kernels, dense products" if dense else "C kernels"
        self.inputs = {name: int(np.prod(shape)) for name, shape in program.inputs.items()}
        held = layouts(program, by_reach=not dense)
        self.members = _members(program, held, dense)
        self.stretch = _STRETCH if any(m.together for m in self.members) else 1
        self.sizes = self.inputs | {name: layout.place.size for name, layout in held.items()}
        self.depths = dict.fromkeys(self.sizes, self.stretch)
        for member in self.members:
            for source, delay, _ in member.hops:
                self.depths[source] = max(self.depths[source], delay + self.stretch)
        self._advance = library["fixed_advance"]
        self._advance.argtypes = [_POINTER]

    def start(self, batch: int) -> State:
        """The state before the first step."""
        masks = {
            name: np.zeros(
                (batch, self.depths[name], 2 if name in self.inputs else 1, -(-size // _WORD)), np.uint64
            )
            for name, size in self.sizes.items()
        }
        u, v = (
            {m.population.name: np.zeros((batch, m.layout.place.size), np.int32) for m in self.members}
            for _ in "uv"
        )
        return State(batch, 0, masks, u, v)

    def advance(
        self,
        state: State,
        x: Mapping[str, NDArray[np.float32]],
        keep: Collection[str] = (),
        states: Collection[str] = (),
    ) -> Recording:
        """See `Engine.advance`."""
        fed = {name: np.ascontiguousarray(x[name], dtype=np.float32) for name in self.inputs}
        steps = len(next(iter(fed.values())))
        counts = {name: np.zeros(size, np.int64) for name, size in self.sizes.items()}
        recording = Recording()
        hops, members = self._hops(), (_Population * len(self.members))()
        for i, (member, first) in enumerate(zip(self.members, self._firsts(), strict=True)):
            members[i] = self._member(member, first, state, recording, steps, keep, states)
        nodes = (_Node * len(self.sizes))(*(self._node(name, state, counts[name]) for name in self.sizes))
        pointers = (_POINTER * len(fed))(*(array.ctypes.data for array in fed.values()))
        network = _Network(
            *(state.batch, steps, state.elapsed, len(self.inputs), len(members)),
            *(self.stretch, max(self.sizes.values()), max((hop.size for hop in hops), default=0)),
            *(ctypes.addressof(part) for part in (nodes, hops, members, pointers)),
        )
        failed = self._advance(ctypes.byref(network))
        if failed < 0:
            raise MemoryError("no memory for the currents of one step")
        if failed:
            raise NotSpikesError
        state.elapsed += steps
        recording.counts = {name: counts[name] for name in self.inputs} | {
            m.population.name: counts[m.population.name][m.layout.position] for m in self.members
        }
        return recording

    def _firsts(self) -> list[int]:
        return [sum(len(m.hops) for m in self.members[:i]) for i in range(len(self.members))]

    def _hops(self) -> Any:
        index = {name: i for i, name in enumerate(self.sizes)}
        found = [
            _Hop(index[source], delay, **{f.name: _value(getattr(weights, f.name)) for f in fields(weights)})
            for member in self.members
            for source, delay, weights in member.hops
        ]
        return (_Hop * max(len(found), 1))(*found)

    def _node(self, name: str, state: State, counts: NDArray[np.int64]) -> _Node:
        masks = state.masks[name]
        _, depth, planes, words = masks.shape
        return _Node(self.sizes[name], words, planes, depth, masks.ctypes.data, counts.ctypes.data)

    def _member(
        self,
        member: _Packed,
        first: int,
        state: State,
        recording: Recording,
        steps: int,
        keep: Collection[str],
        states: Collection[str],
    ) -> _Population:
        p, name = member.population, member.population.name
        shape = (steps, state.batch, int(np.prod(p.shape)))
        if name in keep:
            recording.spikes[name] = np.zeros(shape, np.float32)
        if name in states:
            recording.u[name], recording.v[name] = np.empty(shape, np.int64), np.empty(shape, np.int64)
        records = (found.get(name) for found in (recording.spikes, recording.u, recording.v))
        return _Population(
            list(self.sizes).index(name),
            first,
            first + len(member.hops),
            *(member.group, member.together),
            *(member.narrow, member.exponent, bool(member.keep_u.any())),
            *(isinstance(p.du, int) and isinstance(p.dv, int), member.wraps, p.subtract),
            p.vth << limits.STATE_SHIFT,
            *(_value(a) for a in (member.keep_u, member.keep_v, member.bias_u, member.bias_v)),
            *(len(p.bias_u), len(p.bias_v), member.bias_v.shape[1]),
            *(_value(a) for a in (member.tally, state.u[name], state.v[name], member.layout.place)),
            shape[2],
            *(_value(a) for a in records),
        )


def _members(program: Program, layouts: Mapping[str, Layout], dense: bool) -> list[_Packed]:
    """Populations, those of a cycle one after the other, so that each hop without delay goes forward."""
    order = {p.name: (i, p) for i, p in enumerate(ordered(program))}
    edges = [(h.source, h.target) for h in program.hops if h.source in order]
    groups = [sorted(group, key=lambda n: order[n][0]) for group in components(list(order), edges)]
    looped = {h.target for h in program.hops if h.source == h.target}
    return [
        _packed(program, order[name][1], layouts, dense, (number, len(group) > 1 or name in looped))
        for number, group in enumerate(groups)
        for name in group
    ]


def _packed(
    program: Program,
    population: FixedPopulation,
    layouts: Mapping[str, Layout],
    dense: bool,
    group: tuple[int, bool],
) -> _Packed:
    layout = layouts[population.name]
    shapes = program.inputs | {p.name: p.shape for p in program.populations}
    into = [hop for hop in program.hops if hop.target == population.name and hop.matrix.nnz]
    small = narrow(into) and not dense
    weights: list[Synapses | Products] = [
        products(hop, layouts.get(hop.source), layout, shapes[hop.source])
        if dense
        else synapses(hop, layouts.get(hop.source), layout, shapes[hop.source], small)
        for hop in into
    ]
    return _Packed(
        population,
        layout,
        group=group[0],
        together=dense and not group[1] and layout.place.size < _ROWS * layout.width,
        narrow=small,
        exponent=into[0].exponent if into else 0,
        wraps=wraps(population, into),
        keep_u=_kept(layout, population.du + 1),
        keep_v=_kept(layout, population.dv),
        bias_u=current_bias(population, layout),
        bias_v=membrane_bias(population, layout),
        tally=np.zeros(layout.place.size, np.uint8),
        hops=tuple(
            (hop.source, local_delay(program, hop), held) for hop, held in zip(into, weights, strict=True)
        ),
    )


def _kept(layout: Layout, lost: int | NDArray[np.int64]) -> NDArray[np.int32]:
    """Of 4096, what each neuron keeps of a state."""
    kept = np.broadcast_to(np.asarray(limits.DECAY_ONE - lost, np.int64), layout.position.size)
    return layout.spread(kept[None], 0)[0]


def _value(found: Any) -> Any:
    return found.ctypes.data if isinstance(found, np.ndarray) else found

"""The engine on the processor: `kernels.c`, with what is cheaper of events and lookups, or lookups alone."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.graph.order import components
from targets.loihi import limits
from targets.loihi.kernels.engine import NotSpikesError, Recording, local_delay, ordered
from targets.loihi.kernels.events import events
from targets.loihi.kernels.lookups import lookups
from targets.loihi.kernels.pack import (
    GROUP,
    Layout,
    Synapses,
    clips,
    current_bias,
    membrane_bias,
    narrow,
    wraps,
)
from targets.loihi.program import FixedHop, FixedPopulation, Program

_WORD = 64
# Steps that are taken at once where no cycle forbids it, as STRETCH in kernels.c, and then about how many
# neurons: their currents stay in the nearest cache.
_STRETCH = 40
_SPAN = 256
# Currents of a step behind those of its neurons, as STRIDE in kernels.c.
_APART = 32
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
        *_fields(_LONG, "width divisor shift bits windows"),
    ]


class _Node(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "neurons words planes depth"),
        *_fields(_POINTER, "masks counts tally place"),
        *_fields(_LONG, "channels"),
        *_fields(_POINTER, "negative"),
    ]


class _Population(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "node first_hop last_hop group together span"),
        *_fields(_INT, "narrow exponent remembers shared wraps clips subtract threshold"),
        *_fields(_POINTER, "keep_u keep_v bias_u bias_v"),
        *_fields(_LONG, "rows_u rows_v tile"),
        *_fields(_POINTER, "tally u v place"),
        *_fields(_LONG, "size"),
        *_fields(_POINTER, "spikes u_every v_every"),
    ]


class _Network(ctypes.Structure):
    _fields_ = [
        *_fields(_LONG, "batch steps elapsed inputs populations stretch widest currents"),
        *_fields(_POINTER, "nodes hops members fed"),
        *_fields(_LONG, "sample kept"),
    ]


@dataclass
class State:
    """`batch` samples after `elapsed` steps.

    Attributes:
        kept: whether arrays hold all samples; else B is 1, and each sample begins anew.
        masks: `{node: uint64 [B, depth, planes, words]}`, spikes of the last steps as bits.
        negative: `{Input: uint8 [B]}`, whether it ever held a -1.
        u, v: `{population: int32 [B, padded neurons]}`.
    """

    batch: int
    kept: bool
    elapsed: int
    masks: dict[str, NDArray[np.uint64]]
    negative: dict[str, NDArray[np.uint8]]
    u: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]


@dataclass(frozen=True)
class _Packed:
    """One population; `hops` are sources, delays and weights. Flags and `group` as in kernels.c."""

    population: FixedPopulation
    layout: Layout
    group: int
    together: int
    span: int
    narrow: bool
    exponent: int
    wraps: bool
    clips: bool
    keep_u: NDArray[np.int32]
    keep_v: NDArray[np.int32]
    bias_u: NDArray[np.int32] | None
    bias_v: NDArray[np.int32]
    hops: tuple[tuple[str, int, Synapses], ...]


class CompiledEngine:
    """A program for the library; `dense`: all hops are lookups, whose time no number of spikes changes."""

    def __init__(self, program: Program, library: ctypes.CDLL, dense: bool = False) -> None:
        self.said = "C kernels, dense products" if dense else "C kernels"
        self.inputs = {name: Layout.of_input(shape) for name, shape in program.inputs.items()}
        self.places = {
            name: layout.position.astype(np.int32)
            for name, layout in self.inputs.items()
            if layout.channels > 1
        }
        held = {p.name: Layout.of(p.shape) for p in program.populations}
        self.members = _members(program, self.inputs | held, dense)
        self.stretch = max(m.together for m in self.members)
        self.sizes = {name: layout.place.size for name, layout in (self.inputs | held).items()}
        self.tallies = {name: np.zeros(size, np.uint8) for name, size in self.sizes.items()}
        self.depths = dict.fromkeys(self.sizes, self.stretch)
        for member in self.members:
            for source, delay, _ in member.hops:
                self.depths[source] = max(self.depths[source], delay + self.stretch)
        self._advance = library["fixed_advance"]
        self._advance.argtypes = [_POINTER]

    def start(self, batch: int, kept: bool = True) -> State:
        """See `Engine.start`."""
        held = batch if kept else 1
        masks = {
            name: _masks((held, self.depths[name], 2 if name in self.inputs else 1), size)
            for name, size in self.sizes.items()
        }
        u, v = (
            {m.population.name: np.zeros((held, m.layout.place.size), np.int32) for m in self.members}
            for _ in "uv"
        )
        negative = {name: np.zeros(held, np.uint8) for name in self.inputs}
        return State(batch, kept, 0, masks, negative, u, v)

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
            *(
                self.stretch,
                max(self.sizes.values()),
                max((m.span + _APART) * m.together for m in self.members),
            ),
            *(ctypes.addressof(part) for part in (nodes, hops, members, pointers)),
            *(0, state.kept),
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
        return _Node(
            *(self.sizes[name], words, planes, depth),
            *(_value(array) for array in (masks, counts, self.tallies[name], self.places.get(name))),
            self.inputs[name].channels if name in self.inputs else 1,
            _value(state.negative.get(name)),
        )

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
            *(member.group, member.together, member.span),
            *(member.narrow, member.exponent, bool(member.keep_u.any())),
            *(isinstance(p.du, int) and isinstance(p.dv, int), member.wraps, member.clips, p.subtract),
            p.vth << limits.STATE_SHIFT,
            *(_value(a) for a in (member.keep_u, member.keep_v, member.bias_u, member.bias_v)),
            *(len(p.bias_u), len(p.bias_v), member.bias_v.shape[1]),
            *(_value(a) for a in (self.tallies[name], state.u[name], state.v[name], member.layout.place)),
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
    into = [hop for hop in program.hops if hop.target == population.name and hop.matrix.nnz]
    small = narrow(into)
    weights = [_synapses(hop, layouts[hop.source], layout, (small, group[1], dense)) for hop in into]
    scattered = any(held.first is not None and not held.bits for held in weights)
    unit, padded = math.lcm(layout.width, GROUP), layout.place.size
    return _Packed(
        population,
        layout,
        group=group[0],
        together=1 if group[1] or scattered else _STRETCH,
        span=min(padded, max(unit, _SPAN // unit * unit)) if all(held.bits for held in weights) else padded,
        narrow=small,
        exponent=into[0].exponent if into else 0,
        wraps=wraps(population, into),
        clips=clips(population, into),
        keep_u=_kept(layout, population.du + 1),
        keep_v=_kept(layout, population.dv),
        bias_u=current_bias(population, layout),
        bias_v=membrane_bias(population, layout),
        hops=tuple(
            (hop.source, local_delay(program, hop), held) for hop, held in zip(into, weights, strict=True)
        ),
    )


def _synapses(hop: FixedHop, source: Layout, target: Layout, options: tuple[bool, bool, bool]) -> Synapses:
    """What is cheapest, of lookups alone where all products are `dense`."""
    into_narrow, cyclic, dense = options
    found = [lookups(hop, source, target, into_narrow, cyclic)]
    if not dense:
        found.append(events(hop, source, target, into_narrow, cyclic))
    return min(found, key=lambda each: each[0])[1]()


def _kept(layout: Layout, lost: int | NDArray[np.int64]) -> NDArray[np.int32]:
    """Of 4096, what each neuron keeps of a state."""
    kept = np.broadcast_to(np.asarray(limits.DECAY_ONE - lost, np.int64), layout.position.size)
    return layout.spread(kept[None], 0)[0]


def _masks(shape: tuple[int, ...], neurons: int) -> NDArray[np.uint64]:
    """Masks [*shape, words]; an empty word lies before and behind the bits of each."""
    words = -(-neurons // _WORD) + 1
    return np.zeros(1 + math.prod(shape) * words, np.uint64)[1:].reshape(*shape, words)


def _value(found: Any) -> Any:
    return found.ctypes.data if isinstance(found, np.ndarray) else found

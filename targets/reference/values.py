"""What a run produces, and what one stretch of its steps leaves to the next."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from targets.graph.shapes import Shape
from targets.reference.scan import State

# Shape, strides and place of a tensor in a row.
Place = tuple[Shape, Shape, int]


class Counts(Mapping[str, Tensor]):
    """Spikes of every neuron, `{Input or population: int64 [*shape]}`; zeros as long as nothing is counted.

    Whoever counts first need not add.

    Args:
        places: of each its shape, its strides and where it begins in a row of all.
    """

    def __init__(self, places: Mapping[str, Place] = MappingProxyType({})) -> None:
        self.places, self._blank = places, set(places)
        self._every = torch.empty(sum(math.prod(shape) for shape, _, _ in places.values()), dtype=torch.int64)

    def __getitem__(self, name: str) -> Tensor:
        found = self._every.as_strided(*self.places[name])
        if name in self._blank:
            self._blank.discard(name)
            found.zero_()
        return found

    def begin(self, name: str) -> tuple[int, bool]:
        """Address of the counts [neurons], channels last, and whether the kernel must write all of them."""
        blank = name in self._blank
        self._blank.discard(name)
        return self._every.data_ptr() + self._every.itemsize * self.places[name][2], blank

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Attributes:
        keep: the nodes whose outputs are given, None for all.
        states: the populations of which the state after every step is given.
        counts: what the spikes of every neuron are added to.
    """

    keep: Collection[str] | None = None
    states: Collection[str] = ()
    counts: Counts = field(default_factory=Counts)


@dataclass
class Values:
    """What a stretch gives.

    Attributes:
        outputs: of the nodes run so far, [S, B, *shape].
        states: those recorded, each [S, B, *shape].
        totals: outputs summed over everything, where that was asked for.
    """

    outputs: dict[str, Tensor]
    states: dict[str, State] = field(default_factory=dict)
    totals: dict[str, Tensor] = field(default_factory=dict)

    def copied(self) -> Values:
        """The same in memory of its own."""
        outputs = {name: value.clone() for name, value in self.outputs.items()}
        return Values(outputs, {name: state.copied() for name, state in self.states.items()}, self.totals)


@dataclass
class Carry:
    """State of every population, and what every Delay holds, between two stretches of steps.

    Attributes:
        states: `{population: State}`, each [B, *shape].
        held: `{Delay: [steps, B, *shape]}`, the oldest first.
        first: no step was run yet.
    """

    states: dict[str, State] = field(default_factory=dict)
    held: dict[str, Tensor] = field(default_factory=dict)
    first: bool = True

    def delayed(self, name: str, x: Tensor, steps: int) -> Tensor:
        """`x` [S, B, ...] as Delay `name` gives it out: `steps` later, zeros first."""
        if steps == 0:
            return x
        held = self.held.get(name)
        if held is None:
            held = x.new_zeros((steps, *x.shape[1:]))
        queue = torch.cat([held, x])
        self.held[name] = queue[x.shape[0] :]
        return queue[: x.shape[0]]

    def detach(self) -> None:
        """Cut the gradient between what was run and what follows."""
        self.states = {name: state.detached() for name, state in self.states.items()}
        self.held = {name: held.detach() for name, held in self.held.items()}


def summed(terms: Iterable[Tensor]) -> Tensor:
    """The sum in the order given, which is the order of the graph's edges."""
    total: Tensor | None = None
    for term in terms:
        total = term if total is None else total + term
    assert total is not None
    return total


def delayed(x: Tensor, steps: int) -> Tensor:
    """`x` [T, B, ...] moved `steps` later, zeros first."""
    return Carry().delayed("", x, steps)

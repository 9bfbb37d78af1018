"""What a run produces, and what one stretch of its steps leaves to the next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from targets.reference.scan import State


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Attributes:
        keep: the nodes whose outputs are given, None for all.
        states: the populations of which the state after every step is given.
        counts: `{Input or population: int64 [*shape]}`, to which the spikes of every neuron are added.
    """

    keep: Collection[str] | None = None
    states: Collection[str] = ()
    counts: Mapping[str, Tensor] = field(default_factory=dict)


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

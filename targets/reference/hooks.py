"""What a training may change while a network runs.

Arrays are stretches of a run, `[S, B, *shape]`: S is the whole run outside cycles, and one step at a
time inside them. `first` is true for the stretch that starts the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from torch import Tensor

Apply = Callable[[Tensor], Tensor]
Rewound = Callable[[], AbstractContextManager[object]]


class CurrentTransform(Protocol):
    """Acts on the summed current of a population before it is integrated."""

    def external(self, current: Tensor) -> Tensor:
        """`current` [S, B, *shape] from outside the population's cycle."""
        ...

    def internal(self, current: Tensor) -> Tensor:
        """`current` [B, *shape] from inside the population's cycle, one step.

        A scaling that is constant over a run: the fused cycle asks for its factor once.
        """
        ...


class Hooks:
    """Every method leaves the run as it is; a training overrides what it needs."""

    def synapse(self, name: str, x: Tensor, apply: Apply, first: bool) -> Tensor:
        """Output of synapse node `name` for `x` [S, B, *input]; `apply` is the node itself."""
        return apply(x)

    def current(self, name: str, current: Tensor) -> Tensor:
        """The current [S, B, *shape] that population `name` integrates."""
        return current

    def output(self, name: str, output: Tensor) -> Tensor:
        """The output [S, B, *shape] of population `name` as the nodes after it see it."""
        return output

    def through_time(self, name: str) -> bool:
        """Whether the gradient of population `name` passes from each step to the one before."""
        return True

    def attached(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """`outputs` of a stretch with the whole gradient of each population, for losses on the spikes."""
        return outputs

    def release(self) -> None:
        """Forget the outputs of the stretches run so far."""

    def rewinding(self) -> Rewound:
        """Inside what this gives, the hooks are as they are now: a stretch is run again for its gradient.

        What such a run leaves in them is undone; hooks that keep nothing from call to call need no more.
        """
        return nullcontext

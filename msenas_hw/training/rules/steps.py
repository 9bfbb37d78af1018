"""Steps of a run that wait for their reader: inside a cycle nodes run one step at a time, outside all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from targets.errors import ConfigError


@dataclass
class Steps:
    """Steps that a population or a synapse node of layer `population` has written.

    Attributes:
        lead: steps of zeros that come before the first written, as a Delay gives them out.
    """

    population: str
    lead: int = 0
    _parts: list[Tensor] = field(default_factory=list)

    def copied(self) -> Steps:
        """The same, going its own way from here."""
        return replace(self, _parts=[*self._parts])

    def append(self, part: Tensor) -> None:
        """Add a stretch [S, B, *shape]."""
        self._parts.append(part)

    def zeros(self, count: int, like: Tensor) -> None:
        """Give out up to `count` steps of the lead now; `like` is one step [B, *shape] of zeros."""
        due = min(count, self.lead)
        self.lead -= due
        if due:
            self._parts.insert(0, like.expand(due, *like.shape))

    def take(self, count: int) -> Tensor:
        """The next `count` steps.

        Raises:
            ConfigError: fewer are there.
        """
        held = self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts) if self._parts else None
        if held is None or len(held) < count:
            raise ConfigError(
                f"layer {self.population!r}: its step is not there when the readout of that step runs, "
                "because it depends on the readout; use another teacher than dfa or sdfa"
            )
        self._parts = [held[count:]] if len(held) > count else []
        return held[:count]

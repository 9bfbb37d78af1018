"""Training in less memory: time in segments, run again in the backward pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from targets.errors import ConfigError
from targets.reference.hooks import Rewound
from targets.reference.values import Asked, Carry, Values

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork


def run_segments(
    network: ReferenceNetwork,
    x: Mapping[str, Tensor],
    segment: int,
    keep: Collection[str],
    totals: Collection[str],
    carry: Carry,
) -> Values:
    """As `ReferenceNetwork.forward`, holding the values of `segment` steps at a time for the backward pass.

    Gradients are those of the whole run; the forward pass is computed twice. Hooks see one segment at a
    time, and see it again, rewound, in the backward pass.

    Raises:
        ConfigError: transforms, which take statistics over a whole run.
    """
    if network.transforms:
        listed = ", ".join(sorted(network.transforms))
        raise ConfigError(
            f"checkpoint={segment}: found transforms of {listed}, allowed none, since their statistics span "
            "all steps; train without normalisation or without checkpoint"
        )
    parts: list[Values] = []
    # What a segment starts from must stay as it is until the segment is run again.
    start = replace(carry)
    stretches = zip(*(torch.split(value, segment) for value in x.values()), strict=True)
    for stretch in stretches:
        fed, run = dict(zip(x, stretch, strict=True)), _Segment(network, keep, totals)
        found, start = checkpoint(run, fed, start, use_reentrant=False)
        network.hooks.release()
        parts.append(found)
    carry.states, carry.held, carry.first = start.states, start.held, start.first
    return Values(
        {name: torch.cat([part.outputs[name] for part in parts]) for name in keep},
        totals={name: torch.stack([part.totals[name] for part in parts]).sum() for name in totals},
    )


class _Segment:
    """One segment; every run of it after the first one is with the hooks as they were at the first."""

    def __init__(self, network: ReferenceNetwork, keep: Collection[str], totals: Collection[str]) -> None:
        self.network, self.keep, self.totals = network, keep, totals
        self.rewound: Rewound | None = None

    def __call__(self, x: Mapping[str, Tensor], carry: Carry) -> tuple[Values, Carry]:
        if self.rewound is None:
            self.rewound = self.network.hooks.rewinding()
            return self._run(x, carry)
        with self.rewound():
            return self._run(x, carry)

    def _run(self, x: Mapping[str, Tensor], carry: Carry) -> tuple[Values, Carry]:
        left = replace(carry, states=dict(carry.states), held=dict(carry.held))
        return self.network.run_totals(x, left, Asked(self.keep), self.totals), left

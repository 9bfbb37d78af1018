"""Training in less memory: time in segments, run again in the backward pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from targets.errors import ConfigError
from targets.reference.values import Carry, Values

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork


def run_segments(
    network: ReferenceNetwork,
    x: Mapping[str, Tensor],
    segment: int,
    keep: Collection[str],
    carry: Carry,
) -> Values:
    """As `ReferenceNetwork.forward`, holding the values of `segment` steps at a time for the backward pass.

    Gradients are those of the whole run; the forward pass is computed twice. Hooks see one segment at a
    time, and twice, so they must not keep count of anything.

    Raises:
        ConfigError: transforms, which take statistics over a whole run.
    """
    if network.transforms:
        listed = ", ".join(sorted(network.transforms))
        raise ConfigError(
            f"checkpoint={segment}: transforms of {listed}, allowed none; train without checkpoint"
        )
    parts: list[Mapping[str, Tensor]] = []
    steps = next(iter(x.values())).shape[0]
    # What a segment starts from must stay as it is until the segment is run again.
    start = replace(carry)
    for at in range(0, steps, segment):
        fed = {name: value[at : at + segment] for name, value in x.items()}
        outputs, start = checkpoint(_segment, network, fed, start, keep, use_reentrant=False)
        parts.append(outputs)
    carry.states, carry.held, carry.first = start.states, start.held, start.first
    return Values({name: torch.cat([part[name] for part in parts]) for name in keep})


def _segment(
    network: ReferenceNetwork, x: Mapping[str, Tensor], carry: Carry, keep: Collection[str]
) -> tuple[Mapping[str, Tensor], Carry]:
    left = replace(carry, states=dict(carry.states), held=dict(carry.held))
    return network.run_stretch(x, left, keep=keep).outputs, left

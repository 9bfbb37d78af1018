"""Training one step at a time: each step has its own loss and backward pass, so memory is flat in T."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from msenas_hw.training.rules.canonicalise import sends
from msenas_hw.training.rules.rule_hooks import RuleHooks
from targets.errors import ConfigError
from targets.reference.network import ReferenceNetwork
from targets.reference.values import Carry


def step_wise(
    network: ReferenceNetwork,
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
    labels: Tensor | None = None,
) -> Tensor:
    """Run `x` [T, B, *input] and leave the gradients of the mean over steps of `loss` and of teachers.

    They are those of one backward pass over the whole run; the caller zeroes them before and steps the
    optimiser after.

    Args:
        network: one Input, its hooks `RuleHooks`.
        loss: of one step, from the Output's value [B, *shape].

    Returns:
        The mean loss, without gradient.

    Raises:
        ConfigError: a layer's error would have to cross steps, or steps depend on their statistics.
    """
    hooks = network.hooks
    if not isinstance(hooks, RuleHooks):
        raise ConfigError(f"training by steps: found hooks {type(hooks).__name__}, allowed RuleHooks")
    _check(network, hooks)
    (source,), (sink,) = network.graph.inputs, network.graph.outputs
    steps = len(x)
    hooks.begin(network, labels, steps)
    carry = Carry()
    total = torch.zeros((), dtype=network.dtype)
    for at in range(steps):
        out = network({source: x[at : at + 1]}, carry=carry).outputs[sink][0]
        here, extra = loss(out) / steps, hooks.extra_loss()
        here = here if extra is None else here + extra
        here.backward()  # type: ignore[no-untyped-call]
        total += here.detach()
        carry.detach()
        hooks.release()
    hooks.finish(network)
    return total


def _check(network: ReferenceNetwork, hooks: RuleHooks) -> None:
    wrong = [
        f"population {name!r} has a normaliser, whose statistics run over steps"
        for name in network.transforms
    ]
    passing = sends(hooks.layers, hooks.rules.named)
    for name, rule in hooks.rules.named.items():
        learns = not rule.frozen and rule.delta == "none"
        if rule.temporal == "bptt" and (learns or name in passing):
            wrong.append(f"layer {name!r}: found temporal rule bptt, allowed trace, none")
    wrong += [
        f"node {name!r} leads through a Delay and other nodes to {found.layer!r}, allowed Delays alone"
        for name, found in hooks.layers.synapses.items()
        if found.late and found.lag is None
    ]
    if wrong:
        raise ConfigError("training by steps: " + "; ".join(wrong))

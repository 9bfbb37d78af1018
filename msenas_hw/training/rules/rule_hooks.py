"""The learning rules of a network at work: what they change while it runs, and after."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from msenas_hw.training.rules import draws
from msenas_hw.training.rules.assignment import LayerRules, Rules
from msenas_hw.training.rules.canonicalise import canonical, cuts
from msenas_hw.training.rules.deltas import DELTAS, Delta, Plasticity, Unheard
from msenas_hw.training.rules.feedback import FIXED, MATRIX, Asymmetric, Call, Initial, Late
from msenas_hw.training.rules.layers import layers_of
from msenas_hw.training.rules.operators import Operator, operator_of
from msenas_hw.training.rules.steps import Steps
from msenas_hw.training.rules.teachers import BOUND, BROADCAST, LABELLED, Tap
from msenas_hw.training.rules.traces import Decays, Trace, decays_of
from targets.errors import ConfigError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.reference import stateless
from targets.reference.hooks import Hooks, Rewound
from targets.reference.network import ReferenceNetwork

_BASELINE_MOMENTUM = 0.1


@dataclass(frozen=True)
class _Plan:
    """What one synapse node does: `learns` by its error, or `cuts` the error to its input."""

    rule: LayerRules
    operator: Operator
    initial: Initial
    learns: bool
    cuts: bool
    decays: tuple[Decays, ...]


@dataclass
class _Batch:
    """What is known of the batch in hand.

    Attributes:
        waiting: spikes of taught populations until the readout sends its error to them.
        inputs: inputs of synapse nodes with a local rule until their population's spikes are there.
        horizon: steps of the run where each has its own backward pass; steps: those run so far.
        scores: summed output of the readout.
        drawn: matrices of this batch alone.
        losses: of each population, summed over steps, and the number of those.
        taught: outputs of taught populations with their gradient.
        late: what synapse nodes behind a Delay need for the gradient of a step, until it is due.
    """

    waiting: dict[str, Steps]
    inputs: dict[str, Steps]
    labels: Tensor | None = None
    horizon: int | None = None
    steps: int = 0
    scores: Tensor | None = None
    drawn: dict[str, Tensor] = field(default_factory=dict)
    deltas: dict[str, Delta] = field(default_factory=dict)
    losses: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    taught: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    late: dict[str, deque[tuple[Call, tuple[Tensor, ...]]]] = field(
        default_factory=lambda: defaultdict(deque)
    )

    def unheard(self) -> _Batch:
        """A copy in which local rules observe nothing."""
        return replace(
            self,
            waiting={name: steps.copied() for name, steps in self.waiting.items()},
            inputs={name: steps.copied() for name, steps in self.inputs.items()},
            deltas=dict.fromkeys(self.deltas, Unheard()),
            losses=dict(self.losses),
            taught=defaultdict(list),
        )


class RuleHooks(nn.Module, Hooks):
    """Hooks that make each layer of a network learn by its own rules; its buffers are the random matrices.

        hooks = RuleHooks(graph, Rules(default="bp", hidden="dfa+trace"), seed=0, classes=10)
        network = ReferenceNetwork(graph, hooks=hooks)
        hooks.begin(network, labels)
        loss = ...; extra = hooks.extra_loss(); (loss if extra is None else loss + extra).backward()
        hooks.finish(network)

    Runs without gradients, and runs inside `true_gradient`, are those of the plain network.

    Attributes:
        rules: the canonical form of the rules given.
        reward: [B], for `rstdp`, set between the forward pass and `finish`; without it the reward is
            1 for a sample classified rightly, else 0, less its moving average.

    Raises:
        ConfigError: rules that do not suit the graph.
    """

    def __init__(
        self,
        graph: SpikingGraph,
        rules: Rules,
        seed: int,
        classes: int,
        plasticity: Plasticity | None = None,
    ) -> None:
        super().__init__()
        self.graph, self.seed = graph, seed
        self.rules = canonical(graph, rules)
        self.layers = layers_of(graph)
        self.plasticity = plasticity or Plasticity()
        self.exact = False
        self.reward: Tensor | None = None
        self.batches: Tensor
        self.baseline: Tensor
        self._batch: _Batch
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("baseline", torch.tensor(0.0))
        self._plans = {name: self._plan(name) for name in self.layers.synapses}
        for population in graph.populations:
            self._add_teacher(population, classes)
        self._traces = {name: Trace(plan.decays) for name, plan in self._plans.items() if plan.decays}
        self._weights: Mapping[str, Tensor] = {}
        self._biases: Mapping[str, Tensor] = {}
        self._clear()

    def _plan(self, name: str) -> _Plan:
        synapses, node = self.layers.synapses[name], self.graph.nodes[name]
        rule = self.rules.of(synapses.layer)
        initial = Initial.of(node.weight, node.metadata.get("mask"))
        if rule.feedback in FIXED:
            self._add_matrix("feedback", name, FIXED[rule.feedback](initial, self.seed, name))
        learns = not rule.frozen and rule.delta == "none"
        traced = learns and rule.temporal == "trace"
        constants = dynamics(self.graph, synapses.layer) if traced else None
        decays = () if constants is None else decays_of(synapses.layer, constants, synapses.lag is not None)
        return _Plan(rule, operator_of(node), initial, learns, cuts(rule, synapses.delayed), decays)

    def _add_teacher(self, population: str, classes: int) -> None:
        teacher = self.rules.of(population).teacher
        if teacher == "none":
            return
        shapes = self.graph.shapes
        neurons = torch.Size(shapes[population]).numel()
        errors = torch.Size(shapes[self.layers.readout or ""]).numel() if teacher in BROADCAST else classes
        bound = BOUND[teacher] / neurons**0.5
        drawn = draws.uniform(bound, (errors, neurons), self.seed, "teacher", population)
        self._add_matrix("teacher", population, drawn)

    def _add_matrix(self, purpose: str, name: str, value: Tensor) -> None:
        self.register_buffer(f"{purpose} {name}".replace(".", "/"), value)

    def matrix(self, purpose: str, name: str) -> Tensor:
        """The buffer of synapse node `name` ("feedback") or of population `name` ("teacher")."""
        return self.get_buffer(f"{purpose} {name}".replace(".", "/"))

    def carrier(self, name: str, weight: Tensor) -> Tensor:
        """V, which carries the error through synapse node `name`, for its present `weight`."""
        plan = self._plans[name]
        feedback = plan.rule.feedback
        if feedback == "bp":
            return weight.detach()
        if feedback == "brsf":
            if name not in self._batch.drawn:
                self._batch.drawn[name] = plan.initial.draw(self.seed, name, int(self.batches))
            matrix = self._batch.drawn[name]
        else:
            matrix = self.matrix("feedback", name)
        found = MATRIX[feedback](weight.detach(), matrix.to(weight))
        return found if plan.initial.mask is None else found * plan.initial.mask.to(weight)

    def begin(
        self, network: ReferenceNetwork, labels: Tensor | None = None, steps: int | None = None
    ) -> None:
        """Start a batch.

        Args:
            labels: class of each sample [B], for `drtp`, `local` and `rstdp`.
            steps: length of the run where it comes step by step with a backward pass each.

        Raises:
            ConfigError: a rule needs labels and there are none.
        """
        self._clear()
        self.batches += 1
        self._weights, self._biases = network.weights, network.biases
        self._batch.labels, self._batch.horizon = labels, steps
        for name, plan in self._plans.items():
            needs = plan.rule.delta == "rstdp" or plan.rule.teacher in LABELLED
            if needs and labels is None:
                layer = self.layers.synapses[name].layer
                raise ConfigError(f"layer {layer!r}: {plan.rule} needs the labels of the batch, found none")
            if plan.rule.delta != "none":
                weight = network.weights[name].detach()
                self._batch.deltas[name] = DELTAS[plan.rule.delta](
                    plan.operator, self.plasticity, weight, self._unbiased(name)
                )

    def _unbiased(self, name: str) -> Callable[[Tensor, Tensor], Tensor]:
        node, bias = self.graph.nodes[name], self._biases.get(name)
        zero = None if bias is None else torch.zeros_like(bias)
        return lambda x, weight: stateless.apply(node, x, weight, zero)

    def synapse(self, name: str, x: Tensor, apply: Callable[[Tensor], Tensor], first: bool) -> Tensor:
        plan = self._plans.get(name)
        if plan is None or not self._active():
            return apply(x)
        if plan.rule.delta != "none":
            self._batch.inputs[name].append(x.detach())
        x = x.detach() if plan.cuts else x
        stepping = self._batch.horizon is not None and self.layers.synapses[name].late
        replaced = plan.rule.feedback != "bp" and x.requires_grad
        if plan.learns and not plan.decays and not replaced and not stepping:
            return apply(x)
        if name not in self._weights:
            raise ConfigError(f"node {name!r}: RuleHooks.begin was not called for this batch; call it first")
        weight, bias = self._weights[name], self._biases.get(name)
        carrier = self.carrier(name, weight)
        call = Call(plan.operator, apply)
        factors: tuple[Tensor, ...] = (x.detach(),)
        if plan.decays:
            factors, ones = self._traces[name].run(x.detach(), first)
            call = Call(plan.operator, apply, tuple(decay.mask for decay in plan.decays), ones)
        if stepping and plan.learns:
            self._batch.late[name].append((call, factors))
        if stepping or not plan.learns:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        result: Tensor = Asymmetric.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, carrier, call, *factors
        )
        return result

    def current(self, name: str, current: Tensor) -> Tensor:
        if not self._active():
            return current
        for synapse in self._batch.late:
            if self.layers.synapses[synapse].layer == name:
                current = self._with_late(synapse, current)
        return self._tapped(current) if name == self.layers.readout else current

    def _with_late(self, synapse: str, current: Tensor) -> Tensor:
        waiting, lag = self._batch.late[synapse], self.layers.synapses[synapse].lag
        assert lag is not None
        if len(waiting) <= lag:
            return current
        call, factors = waiting.popleft()
        weight, bias = self._weights[synapse], self._biases.get(synapse)
        result: Tensor = Late.apply(current, weight, bias, call, *factors)  # type: ignore[no-untyped-call]
        return result

    def _tapped(self, current: Tensor) -> Tensor:
        self._batch.steps += len(current)
        for population in self.graph.populations:
            teacher = self.rules.of(population).teacher
            if teacher in BROADCAST:
                spikes = self._batch.waiting[population].take(len(current))
                current = Tap.apply(  # type: ignore[no-untyped-call]
                    current, spikes, self.matrix("teacher", population), self._sender(teacher)
                )
        return current

    def _sender(self, teacher: str) -> Callable[[Tensor], Tensor]:
        return lambda error: BROADCAST[teacher](error, self._batch.horizon or self._batch.steps)

    def output(self, name: str, output: Tensor) -> Tensor:
        if not self._active():
            return output
        rule = self.rules.of(name)
        if rule.delta != "none":
            for synapse in self.layers.into(name):
                inputs = self._batch.inputs[synapse]
                none = output.new_zeros((output.shape[1], *self.graph.input_shape(synapse)))
                inputs.zeros(len(output), none)
                self._batch.deltas[synapse].observe(inputs.take(len(output)), output.detach())
        if name == self.layers.readout:
            summed = output.detach().sum(0)
            self._batch.scores = summed if self._batch.scores is None else self._batch.scores + summed
        if rule.teacher == "none":
            return output
        self._batch.taught[name].append(output)
        if rule.teacher in BROADCAST:
            self._batch.waiting[name].append(output)
        else:
            self._add_loss(name, rule.teacher, output)
        return output.detach()

    def _add_loss(self, name: str, teacher: str, output: Tensor) -> None:
        assert self._batch.labels is not None
        matrix = self.matrix("teacher", name).to(output)
        loss, steps = self._batch.losses.get(name, (output.new_zeros(()), 0))
        found = LABELLED[teacher](output.flatten(2), matrix, self._batch.labels)
        self._batch.losses[name] = (loss + found, steps + len(output))

    def through_time(self, name: str) -> bool:
        return self.exact or self.rules.of(name).temporal == "bptt"

    def extra_loss(self) -> Tensor | None:
        """Losses of the label teachers since the last call, means over steps; None where there are none."""
        terms = [loss / (self._batch.horizon or steps) for loss, steps in self._batch.losses.values()]
        self._batch.losses.clear()
        return torch.stack(terms).sum() if terms else None

    def attached(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`outputs` of a run with the gradient that taught populations hide from the layers above them.

        For losses on the spikes themselves, such as a penalty on their rate.
        """
        return {
            name: torch.cat(self._batch.taught[name]) if name in self._batch.taught else output
            for name, output in outputs.items()
        }

    def release(self) -> None:
        """Forget the outputs of the steps run so far."""
        self._batch.taught.clear()

    def rewinding(self) -> Rewound:
        batch = self._batch.unheard()
        traces = {name: trace.copied() for name, trace in self._traces.items()}

        @contextmanager
        def rewound() -> Iterator[None]:
            now = self._batch, self._traces
            self._batch = batch.unheard()
            self._traces = {name: trace.copied() for name, trace in traces.items()}
            try:
                yield
            finally:
                self._batch, self._traces = now

        return rewound

    def finish(self, network: ReferenceNetwork) -> None:
        """After the backward pass: gradients of local rules written, those of frozen weights taken away.

        A gradient that is taken away is None, so that no optimiser decays the weight either.
        """
        reward = self._reward() if any(p.rule.delta == "rstdp" for p in self._plans.values()) else None
        for name, plan in self._plans.items():
            if plan.learns:
                continue
            weight, bias = network.weights[name], network.biases.get(name)
            weight.grad = None
            if bias is not None:
                bias.grad = None
            if name in self._batch.deltas:
                with torch.no_grad():
                    weight.grad = -self._batch.deltas[name].change(weight.detach(), reward)
        self._clear()

    def _reward(self) -> Tensor:
        if self.reward is not None:
            return self.reward
        assert self._batch.scores is not None
        assert self._batch.labels is not None
        right = (self._batch.scores.flatten(1).argmax(1) == self._batch.labels).to(torch.float32)
        reward = right - self.baseline
        self.baseline.lerp_(right.mean(), _BASELINE_MOMENTUM)
        return reward

    def _active(self) -> bool:
        return torch.is_grad_enabled() and not self.exact

    def _clear(self) -> None:
        self.reward = None
        self._batch = _Batch(
            waiting={name: Steps(name) for name in self.graph.populations},
            inputs={name: Steps(found.layer, found.lag or 0) for name, found in self.layers.synapses.items()},
        )


@contextmanager
def true_gradient(network: ReferenceNetwork) -> Iterator[None]:
    """Inside, `network` has the gradient of its forward pass: V = W, no teachers, back through time."""
    hooks = network.hooks
    if not isinstance(hooks, RuleHooks):
        yield
        return
    before, hooks.exact = hooks.exact, True
    try:
        yield
    finally:
        hooks.exact = before

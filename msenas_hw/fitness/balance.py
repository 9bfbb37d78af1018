"""Threshold balancing: weights scaled by data so that an untrained network is neither silent nor saturated.

Part of the method, and applied alike to every candidate:

1. Delay edges are cut. Populations are visited in topological order; all weights into one are
   multiplied by one positive factor such that, over the (sample, neuron) pairs that are driven positive at
   all, the `QUANTILE` of the peak non-firing membrane over time is 1, the nominal threshold. A threshold
   gene of 1.5 thus still makes a quieter population than one of 0.75. The population's spikes feed the
   next. The first `SAMPLES` samples are enough here.
2. The closed loop runs. If the mean rate of the readout lies outside `RATES` (spikes a neuron and step),
   the factor of the readout is bisected, in its logarithm, towards the geometric middle of the range.
3. Where no factor does that, inhibition has silenced what feeds the readout. Every population is then
   raised (never lowered) by the rule of step 1 on the closed-loop spikes that reach it, and step 2 comes
   again, up to `REPEATS` times.
4. A network whose readout is still outside the range is dead: not a candidate.

One factor for all weights of a population keeps their signs, and the ratio of excitation to inhibition.
Biases are zero at initialisation and stay so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msenas_hw.fitness.membranes import Membranes
from targets.errors import GraphError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION
from targets.graph.order import topological
from targets.reference import stateless
from targets.reference.scan import Coefficients, scan
from targets.reference.target import ReferenceOptions, ReferenceTarget
from targets.reference.values import delayed
from targets.run import Run

# At 0.6, the reliability of one draw (ICC) falls from 0.9 to 0.7: silent populations carry no fitness.
QUANTILE = 0.25
SAMPLES = 16
RATES = (0.05, 0.5)
BISECTIONS = 24
REPEATS = 5
WIDEST_FACTOR = 2.0**10


@dataclass(frozen=True)
class Balanced:
    """A balanced network and its closed-loop run.

    Attributes:
        graph: weights scaled.
        factors: `{population: what its incoming weights were multiplied by}`.
        run: of the reference executor on the balancing input, spikes of Input and every population recorded
            (`ReferenceExecutable.watch`).
        membranes: what was to be watched of them.
        rate: mean rate of the readout, spikes a neuron and step.
    """

    graph: SpikingGraph
    factors: Mapping[str, float]
    run: Run
    rate: float
    membranes: Membranes | None


@dataclass(frozen=True)
class Dead:
    """Why no balancing brings the network to life."""

    node: str
    reason: str


@torch.no_grad()
def balance(
    graph: SpikingGraph, x: NDArray[np.generic], membranes: Membranes | None = None
) -> Balanced | Dead:
    """Balance `graph` on `x` [T, B, *input]; `membranes` says what to watch of the last run.

    The readout is the population before the only Output; nothing but the Output reads it.

    Raises:
        GraphError: the graph has several Inputs or Outputs, or its Output does not read one population.
    """
    readout = _readout(graph)
    factors = _open_loop(graph, x[:, :SAMPLES])
    if isinstance(factors, Dead):
        return factors
    for attempt in range(1 + REPEATS):
        balanced = scaled(graph, factors)
        executable = ReferenceTarget().compile(balanced, ReferenceOptions())
        watching = None if membranes is None else membranes.anew()
        run = executable.watch(x, (*graph.inputs, *graph.populations), watching)
        found = _settled(balanced, readout, run, watching)
        if not isinstance(found, Dead):
            own = {**factors, readout: factors[readout] * found.factors[readout]}
            return replace(found, factors=own)
        if attempt < REPEATS:
            again = _closed_loop(balanced, run)
            factors = {name: factor * again[name] for name, factor in factors.items()}
    return found


def _settled(graph: SpikingGraph, readout: str, run: Run, membranes: Membranes | None) -> Balanced | Dead:
    """The network with its readout inside `RATES`; `factors` holds what that took."""
    rate = _rate(run, readout)
    if RATES[0] <= rate <= RATES[1]:
        return Balanced(graph, {readout: 1.0}, run, rate, membranes)
    factor = _bisect(graph, readout, _current_into(graph, readout, run, run.samples))
    if isinstance(factor, Dead):
        return factor
    final = scaled(graph, {readout: factor})
    run = _with_readout(final, readout, run, membranes)
    return Balanced(final, {readout: factor}, run, _rate(run, readout), membranes)


def scaled(graph: SpikingGraph, factors: Mapping[str, float]) -> SpikingGraph:
    """A copy with every weight into population p multiplied by factors[p], in float32."""
    nodes = dict(graph.nodes)
    for population, factor in factors.items():
        for name in graph.synapses_into(population):
            nodes[name] = replace_weight(nodes[name], np.float32(factor) * nodes[name].weight)
    return graph.replace(nodes=nodes)


def replace_weight(node: nir.NIRNode, weight: NDArray[np.float32]) -> nir.NIRNode:
    """A copy of a synapse node with another weight."""
    fields: dict[str, Any] = {key: value for key, value in vars(node).items() if key not in _DERIVED}
    return type(node)(**{**fields, "weight": weight})


_DERIVED = ("input_type", "output_type")


def _readout(graph: SpikingGraph) -> str:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GraphError(
            f"balance: found {len(graph.inputs)} Inputs and {len(graph.outputs)} Outputs, allowed one of each"
        )
    sources = graph.predecessors[graph.outputs[0]]
    if len(sources) != 1 or not isinstance(graph.nodes[sources[0]], POPULATION):
        raise GraphError(f"balance: Output reads {', '.join(sources)}, allowed one population")
    return sources[0]


def _open_loop(graph: SpikingGraph, x: NDArray[np.generic]) -> dict[str, float] | Dead:
    """Factor of each population, Delay edges cut."""
    cut = {name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
    order = topological(list(graph.nodes), [(a, b) for a, b in graph.edges if a not in cut])
    if order is None:
        raise GraphError("balance: a cycle holds no Delay; give every cycle one")
    values = {graph.inputs[0]: torch.from_numpy(np.ascontiguousarray(x)).to(torch.float32)}
    factors: dict[str, float] = {}
    for name in order:
        sources = [s for s in graph.predecessors[name] if s in values]
        if name in cut or name in graph.inputs or not sources or name in graph.outputs:
            continue
        total = torch.stack([values[s] for s in sources]).sum(dim=0)
        if isinstance(graph.nodes[name], POPULATION):
            coefficients = Coefficients.of(dynamics(graph, name), torch.float32)
            factor = _factor(coefficients, total)
            if factor is None:
                return Dead(name, "no neuron is driven positive by any sample")
            factors[name] = factor
            values[name] = scan(coefficients, np.float32(factor).item() * total).outputs
        else:
            values[name] = _apply(graph.nodes[name], total)
    return factors


def _closed_loop(graph: SpikingGraph, run: Run) -> dict[str, float]:
    """Factor of each population on the closed-loop spikes that reach it; 1 where none drives it."""
    factors = {}
    for name in graph.populations:
        coefficients = Coefficients.of(dynamics(graph, name), torch.float32)
        factor = _factor(coefficients, _current_into(graph, name, run, SAMPLES))
        factors[name] = 1.0 if factor is None else max(factor, 1.0)
    return factors


def _apply(node: nir.NIRNode, x: Tensor) -> Tensor:
    """A stateless node on [T, B, *input]."""
    folded = stateless.apply(node, x.flatten(0, 1))
    return folded.reshape(*x.shape[:2], *folded.shape[1:])


def _factor(coefficients: Coefficients, current: Tensor) -> float | None:
    """1 / the quantile of positive peak membranes; None where none is positive."""
    peak = scan(replace(coefficients, threshold=None, reset=None), current).outputs.amax(dim=0)
    positive = peak[peak > 0].numpy().astype(np.float64)
    return None if positive.size == 0 else 1.0 / float(np.quantile(positive, QUANTILE))


def _rate(run: Run, readout: str) -> float:
    return float(run.spike_counts[readout].mean()) / (run.steps * run.samples)


def _bisect(graph: SpikingGraph, readout: str, current: Tensor) -> float | Dead:
    """Factor that brings the mean rate of the readout, given its `current`, near the middle of `RATES`."""
    coefficients = Coefficients.of(dynamics(graph, readout), torch.float32)
    aim = float(np.sqrt(RATES[0] * RATES[1]))
    low, high = 1 / WIDEST_FACTOR, WIDEST_FACTOR
    rate = 0.0
    for _ in range(BISECTIONS):
        factor = float(np.sqrt(low * high))
        rate = float(scan(coefficients, np.float32(factor).item() * current).outputs.mean())
        if abs(np.log(max(rate, 1e-9) / aim)) < 0.1:
            return factor
        low, high = (factor, high) if rate < aim else (low, factor)
    if RATES[0] <= rate <= RATES[1]:
        return factor
    word = "silent" if rate < RATES[0] else "saturated"
    return Dead(
        readout,
        f"output stays {word}: {rate:.3g} spikes a neuron and step, allowed {RATES[0]} to {RATES[1]}, "
        f"with weights scaled by {1 / WIDEST_FACTOR:.3g} to {WIDEST_FACTOR:.0f}",
    )


def _with_readout(graph: SpikingGraph, readout: str, run: Run, membranes: Membranes | None) -> Run:
    """`run` with the readout computed again: nothing else reads it, so all other spikes stand."""
    coefficients = Coefficients.of(dynamics(graph, readout), torch.float32)
    current = _current_into(graph, readout, run, run.samples)
    scanned = scan(coefficients, current, history=membranes is not None)
    if membranes is not None and scanned.history is not None:
        membranes.forget(readout)
        membranes(readout, scanned.history.v)
    spikes = scanned.outputs.numpy()
    counts = np.count_nonzero(spikes, axis=(0, 1)).astype(np.int64)
    return replace(
        run,
        outputs={graph.outputs[0]: spikes},
        spikes={**run.spikes, readout: spikes},
        spike_counts={**run.spike_counts, readout: counts},
    )


def _current_into(graph: SpikingGraph, population: str, run: Run, samples: int) -> Tensor:
    """Summed current [T, samples, *shape] into a population, from the recorded spikes of those before it."""
    parts = []
    for at in range(0, samples, SAMPLES):
        here = slice(at, min(at + SAMPLES, samples))
        terms = [_term(graph, source, run, here) for source in graph.predecessors[population]]
        parts.append(torch.stack(terms).sum(dim=0))
    return torch.cat(parts, dim=1)


def _term(graph: SpikingGraph, last: str, run: Run, samples: slice) -> Tensor:
    """What stateless node or population `last` gave, [T, samples, *shape]."""
    chain = [last]
    while chain[0] not in run.spikes:
        (source,) = graph.predecessors[chain[0]]
        chain.insert(0, source)
    value = torch.from_numpy(np.asarray(run.spikes[chain[0]])[:, samples]).to(torch.float32)
    for name in chain[1:]:
        node = graph.nodes[name]
        delay = isinstance(node, nir.Delay)
        value = delayed(value, graph.delay_steps(name)) if delay else _apply(node, value)
    return value

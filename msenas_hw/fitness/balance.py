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

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msenas_hw.fitness.flow import Flow, peaks
from msenas_hw.fitness.membranes import Membranes
from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION
from targets.graph.order import topological
from targets.reference.kernels.layout import channels_first
from targets.reference.scan import Coefficients, scan
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
        run: on the balancing input, spikes of Input and every population recorded (`Flow.run`).
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
    given = Flow(graph)
    factors = _open_loop(given, x[:, :SAMPLES])
    if isinstance(factors, Dead):
        return factors
    for attempt in range(1 + REPEATS):
        flow = given.scaled(factors)
        watching = None if membranes is None else membranes.anew()
        run = flow.run(x, watching)
        found = _settled(flow, readout, run, watching)
        if not isinstance(found, Dead):
            own = {**factors, readout: factors[readout] * found.factors[readout]}
            return replace(found, factors=own)
        if attempt < REPEATS:
            again = _closed_loop(flow, run)
            factors = {name: factor * again[name] for name, factor in factors.items()}
    return found


def _settled(flow: Flow, readout: str, run: Run, membranes: Membranes | None) -> Balanced | Dead:
    """The network with its readout inside `RATES`; `factors` holds what that took."""
    rate = _rate(run, readout)
    if RATES[0] <= rate <= RATES[1]:
        return Balanced(flow.graph, {readout: 1.0}, run, rate, membranes)
    factor = _bisect(flow, readout, _current(flow, readout, run, run.samples))
    if isinstance(factor, Dead):
        return factor
    final = flow.scaled({readout: factor})
    run = _with_readout(final, readout, run, membranes)
    return Balanced(final.graph, {readout: factor}, run, _rate(run, readout), membranes)


def _readout(graph: SpikingGraph) -> str:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GraphError(
            f"balance: found {len(graph.inputs)} Inputs and {len(graph.outputs)} Outputs, allowed one of each"
        )
    sources = graph.predecessors[graph.outputs[0]]
    if len(sources) != 1 or not isinstance(graph.nodes[sources[0]], POPULATION):
        raise GraphError(f"balance: Output reads {', '.join(sources)}, allowed one population")
    return sources[0]


def _open_loop(flow: Flow, x: NDArray[np.generic]) -> dict[str, float] | Dead:
    """Factor of each population, Delay edges cut."""
    graph = flow.graph
    cut = {name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
    order = topological(list(graph.nodes), [(a, b) for a, b in graph.edges if a not in cut])
    if order is None:
        raise GraphError("balance: a cycle holds no Delay; give every cycle one")
    factors = dict[str, float]()
    signals, steps, everyone = flow.read(x), len(x), slice(0, x.shape[1])
    for name in (n for n in order if n in flow.links):
        current = flow.current(name, signals, steps, everyone, cut=True)
        if current is None:
            continue
        factor = _factor(flow.coefficients[name], current)
        if factor is None:
            return Dead(name, "no neuron is driven positive by any sample")
        factors[name] = factor
        signals[name] = flow.fired(name, current.mul_(np.float32(factor).item()))
    return factors


def _closed_loop(flow: Flow, run: Run) -> dict[str, float]:
    """Factor of each population on the closed-loop spikes that reach it; 1 where none drives it."""
    found = {n: _factor(flow.coefficients[n], _current(flow, n, run, SAMPLES)) for n in flow.links}
    return {name: 1.0 if factor is None else max(factor, 1.0) for name, factor in found.items()}


def _factor(coefficients: Coefficients, current: Tensor) -> float | None:
    """1 / the quantile of positive peak membranes; None where none is positive."""
    highest = peaks(coefficients, current).numpy()
    positive = highest[highest > 0].astype(np.float64)
    return None if positive.size == 0 else 1.0 / float(np.quantile(positive, QUANTILE))


def _rate(run: Run, readout: str) -> float:
    return float(run.spike_counts[readout].mean()) / (run.steps * run.samples)


def _bisect(flow: Flow, readout: str, current: Tensor) -> float | Dead:
    """Factor that brings the mean rate of the readout, given its `current`, near the middle of `RATES`."""
    aim = float(np.sqrt(RATES[0] * RATES[1]))
    low, high = 1 / WIDEST_FACTOR, WIDEST_FACTOR
    rate = 0.0
    for _ in range(BISECTIONS):
        factor = float(np.sqrt(low * high))
        fired = scan(flow.coefficients[readout], np.float32(factor).item() * current).outputs
        rate = float(fired.mean())
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


def _with_readout(flow: Flow, readout: str, run: Run, membranes: Membranes | None) -> Run:
    """`run` with the readout computed again: nothing else reads it, so all other spikes stand."""
    current = _current(flow, readout, run, run.samples)
    scanned = scan(flow.coefficients[readout], current, history=membranes is not None)
    if membranes is not None and scanned.history is not None:
        membranes.forget(readout)
        membranes(readout, scanned.history.v)
    spikes = scanned.outputs.numpy()
    counts = np.count_nonzero(spikes, axis=(0, 1)).astype(np.int64)
    return replace(
        run,
        outputs={flow.graph.outputs[0]: spikes},
        spikes={**run.spikes, readout: spikes},
        spike_counts={**run.spike_counts, readout: counts},
    )


def _current(flow: Flow, population: str, run: Run, samples: int) -> Tensor:
    """Summed current [T, samples, *shape] into a population, from the recorded spikes of those before it."""
    parts = []
    for at in range(0, samples, SAMPLES):
        part = flow.current(population, flow.recorded(run), run.steps, slice(at, min(at + SAMPLES, samples)))
        assert part is not None
        parts.append(channels_first(part, 2))
    return torch.cat(parts, dim=1)

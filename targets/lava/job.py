"""What the worker gets: populations, hops and input as plain arrays in one .npz file.

`spec` holds JSON: arithmetic, inputs (their number), populations [{neurons, offset, record,
sends_membrane, subtract}], hops [{source, target, shape, axonal_delay, exponent, sign}] with indices into the
list inputs + populations, steps, samples, period, total_steps. Arrays:
`input.<i>` [neurons, samples * period], `population.<i>.<parameter>`, `hop.<i>.<data|indices|indptr>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from targets.errors import UnsupportedNodeError
from targets.graph.dynamics import Dynamics, dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Bias, fold_graph
from targets.graph.kinds import READOUT
from targets.lava.groups import Neurons, Part, by_population, parts
from targets.loihi.align import align
from targets.loihi.normalise import subtracts
from targets.loihi.program import FixedPopulation, Program
from targets.loihi.relays import REACH, WEIGHT, Relays

Array = NDArray[Any]


@dataclass(frozen=True)
class JobPopulation:
    """One population for Lava: `values` are the parameters and tables of the worker's process.

    Attributes:
        subtract: soft reset.
        of, neurons: the population of the graph, and which neurons of it these are (None: all).
    """

    name: str
    offset: int
    values: dict[str, Array]
    sends_membrane: bool
    subtract: bool
    of: str
    neurons: Neurons | None = None


@dataclass(frozen=True)
class JobHop:
    """One synapse process of Lava; `delay` is what exceeds the one step of the hop."""

    source: str
    target: str
    matrix: csr_matrix
    delay: int
    exponent: int = 0
    sign: str = "mixed"


@dataclass(frozen=True)
class Job:
    """A network that the worker can run, without input.

    Attributes:
        arithmetic: "fixed" | "float64".
        currents: populations that hold a synaptic current.
        drain: steps between the windows of two samples.
    """

    arithmetic: str
    inputs: tuple[str, ...]
    populations: tuple[JobPopulation, ...]
    hops: tuple[JobHop, ...]
    outputs: dict[str, str]
    currents: frozenset[str]
    drain: int


def fixed_job(program: Program) -> Job:
    """The job of a lowered network.

    Raises:
        UnsupportedNodeError: a leaky integrator feeds synapses, or a bias exceeds 32 bits.
    """
    readouts = {p.name for p in program.populations if isinstance(program.graph.nodes[p.name], READOUT)}
    relays = Relays(program)
    held = [p for one in (*program.populations, *relays.populations.values()) for p in parts(one)]
    for hop in program.hops:
        if hop.source in readouts:
            raise UnsupportedNodeError(
                f"node {hop.source!r}: found synapses to {hop.target!r}, allowed none from a leaky "
                "integrator in fixed arithmetic (a chip sends spikes); put a spiking population between"
            )
    return Job(
        arithmetic="fixed",
        inputs=tuple(program.inputs),
        populations=tuple(_fixed_population(part) for part in held),
        hops=tuple(
            _grouped(
                (
                    *(
                        JobHop(source, h.target, h.matrix.astype(np.int32), delay, h.exponent, h.sign)
                        for h, (source, delay) in zip(program.hops, relays.ends, strict=True)
                    ),
                    *(
                        _relay_hop(source, relays.populations[name])
                        for name, source in relays.sources.items()
                    ),
                ),
                by_population(held),
            )
        ),
        outputs=dict(program.outputs),
        currents=frozenset(p.name for p in program.populations),
        drain=program.drain,
    )


def _grouped(hops: Iterable[JobHop], held: Mapping[str, list[Part]]) -> Iterator[JobHop]:
    """Each hop as hops between hardware populations; an Input is one part."""
    for hop in hops:
        for target in held[hop.target]:
            rows = hop.matrix if target.neurons is None else hop.matrix[target.neurons]
            columns = [(s.population.name, s.neurons) for s in held.get(hop.source, ())]
            for source, neurons in columns or [(hop.source, None)]:
                matrix = rows if neurons is None else csr_matrix(rows[:, neurons])
                yield replace(hop, source=source, target=target.population.name, matrix=matrix)


def _relay_hop(source: str, relay: FixedPopulation) -> JobHop:
    one = csr_matrix(WEIGHT * identity(relay.shape[0], dtype=np.int32))
    return JobHop(source, relay.name, one, REACH - 1, 0, "excitatory")


def _fixed_population(part: Part) -> JobPopulation:
    population = part.population
    values: dict[str, Array] = {
        "du": np.asarray(population.du),
        "dv": np.asarray(population.dv),
        "vth": np.asarray(population.vth),
    }
    for name in ("bias_u", "bias_v"):
        table = getattr(population, name)
        if np.abs(table).max(initial=0) >= 2**31:
            raise UnsupportedNodeError(
                f"node {population.name!r}: {name} is {np.abs(table).max()}, allowed below 2^31"
            )
        values[name] = table.astype(np.int32)
    return JobPopulation(
        name=population.name,
        offset=population.offset,
        values=values,
        sends_membrane=False,
        subtract=population.subtract,
        of=part.of,
        neurons=part.neurons,
    )


def float_job(graph: SpikingGraph) -> Job:
    """The job of a graph in float64, aligned as on a chip: every hop takes one step.

    Raises:
        GraphError: a cycle holds fewer delays than hops.
    """
    folding = fold_graph(graph)
    alignment = align(folding, graph.inputs)
    models = {name: dynamics(graph, name) for name in graph.populations}
    return Job(
        arithmetic="float64",
        inputs=graph.inputs,
        populations=tuple(
            JobPopulation(
                name,
                alignment.offsets.get(name, 0),
                _float_values(model, folding.biases.get(name, ())),
                sends_membrane=model.threshold is None,
                subtract=subtracts(model),
                of=name,
            )
            for name, model in models.items()
        ),
        hops=tuple(
            JobHop(hop.source, hop.target, hop.matrix, delay)
            for hop, delay in zip(folding.hops, alignment.axonal_delays, strict=True)
        ),
        outputs={hop.target: hop.source for hop in folding.readouts},
        currents=frozenset(name for name, model in models.items() if model.decay_synapse is not None),
        drain=alignment.drain,
    )


def _float_values(model: Dynamics, biases: tuple[Bias, ...]) -> dict[str, Array]:
    """Lava's parameters: du = 1 means no synaptic memory, dv = 0 no leak.

    Lava computes 1 - dv, which gives back the decay to the last bit: a decay is itself 1 - rate,
    so it is a multiple of 2^-53 and so is dv.
    """

    def flat(value: Array | None, absent: float) -> Array:
        return np.full(model.gain.size, absent) if value is None else value.astype(np.float64).ravel()

    rows = max((bias.onset for bias in biases), default=0) + 1
    table = np.zeros((rows, model.gain.size))
    for bias in biases:
        table[bias.onset :] += bias.value
    return {
        "du": 1 - flat(model.decay_synapse, 0.0),
        "dv": 1 - flat(model.decay, 1.0),
        "vth": flat(model.threshold, np.inf),
        "gain": flat(model.gain, 0.0),
        "leak": flat(model.leak, 0.0),
        "reset": flat(model.reset, 0.0),
        "bias": table,
    }


def write_job(job: Job, path: Path, inputs: dict[str, Array], record: dict[str, list[str]]) -> None:
    """Write job.npz.

    Args:
        inputs: `{Input node: [T, B, neurons]}`.
        record: which of "s", "u", "v" to keep of each population; nothing of those left out.
    """
    steps, samples, _ = next(iter(inputs.values())).shape
    arrays: dict[str, Array] = {"spec": np.array(json.dumps(_spec(job, steps, samples, record)))}
    for i, name in enumerate(job.inputs):
        arrays[f"input.{i}"] = _train(inputs[name], job)
    for i, population in enumerate(job.populations):
        arrays.update({f"population.{i}.{name}": value for name, value in population.values.items()})
    for i, hop in enumerate(job.hops):
        arrays.update({f"hop.{i}.{k}": getattr(hop.matrix, k) for k in ("data", "indices", "indptr")})
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its stub takes a keyword for allow_pickle


def _train(x: Array, job: Job) -> Array:
    """All samples back to back, silent while the last windows of a sample close."""
    steps, samples, neurons = x.shape
    train = np.zeros(
        (neurons, samples, steps + job.drain), np.int32 if job.arithmetic == "fixed" else np.float64
    )
    train[:, :, :steps] = x.transpose(2, 1, 0)
    return train.reshape(neurons, -1)


def _spec(job: Job, steps: int, samples: int, record: dict[str, list[str]]) -> dict[str, Any]:
    index = {name: i for i, name in enumerate((*job.inputs, *(p.name for p in job.populations)))}
    period, last = steps + job.drain, max(population.offset for population in job.populations)
    populations = [
        {
            "neurons": p.values["bias_u" if job.arithmetic == "fixed" else "bias"].shape[1],
            "offset": p.offset,
            "record": record.get(p.of, []),
            "sends_membrane": p.sends_membrane,
            "subtract": p.subtract,
        }
        for p in job.populations
    ]
    hops = [
        {
            "source": index[hop.source],
            "target": index[hop.target],
            "shape": list(hop.matrix.shape),
            "axonal_delay": hop.delay,
            "exponent": hop.exponent,
            "sign": hop.sign,
        }
        for hop in job.hops
    ]
    return {
        "arithmetic": job.arithmetic,
        "inputs": len(job.inputs),
        "populations": populations,
        "hops": hops,
        "steps": steps,
        "samples": samples,
        "period": period,
        "total_steps": (samples - 1) * period + last + steps,
    }

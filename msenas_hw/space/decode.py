"""Genome -> SpikingGraph: populations, projections, and weights at initialisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from msenas_hw.space.canonical import arch_id, canonical
from msenas_hw.space.config import Task, own_task
from msenas_hw.space.connectome import INPUT_NAME, READOUT, Connectome, Population, Projection, connectome
from msenas_hw.space.genome import WEIGHT_BITS, Genome, NodeGene
from msenas_hw.space.notes import noted
from targets.graph.graph import Edge, SpikingGraph

OUTPUT = "output"


def decode(genome: Genome, task: Task, draw: int = 0) -> SpikingGraph:
    """The network of a genome, with the weights of random draw `draw`.

    Weights are drawn from a generator seeded by (`arch_id`, draw): N(0, 1 / fan-in) where signs are
    mixed, its absolute value where excitatory, minus that where inhibitory; float32. Each synapse node
    says in its metadata `sign` ("mixed", "excitatory", "inhibitory"), `bias` (whether its bias may
    be used; else it must stay zero) and, for lateral inhibition, `mask` (0 where a weight must stay zero).
    A population whose weights are not stored in 8 bits says `weight_bits`. The graph's metadata hold the
    canonical genome and the steps of a sample (`msenas_hw.space.notes`).

    Raises:
        GraphError: no path leads from the Input to the readout.
    """
    rng = np.random.default_rng([int(arch_id(genome, task), 16), draw])
    genome, task = canonical(genome, task), own_task(genome, task)
    wiring = connectome(genome, task)
    nodes: dict[str, nir.NIRNode] = {INPUT_NAME: nir.Input(np.array(task.input_shape))}
    edges: list[Edge] = []
    arriving: dict[str, list[Projection]] = {}
    for projection in wiring.projections:
        arriving.setdefault(projection.target, []).append(projection)
    for name, population in wiring.populations.items():
        for projection in arriving[name]:
            chain = _chain(projection, wiring, task, rng)
            nodes.update(chain)
            path = [projection.source, *chain, name]
            edges.extend(pairwise(path))
        nodes[name] = _NEURON[population.gene.model](population.gene, population.shape, task.dt)
    nodes[OUTPUT] = nir.Output(np.array(wiring.populations[READOUT].shape))
    edges.append((READOUT, OUTPUT))
    return SpikingGraph.build(nodes, edges, {"dt": task.dt}, metadata=noted(genome, task))


def _chain(
    projection: Projection, wiring: Connectome, task: Task, rng: np.random.Generator
) -> dict[str, nir.NIRNode]:
    """The nodes between two populations, in order, by name."""
    shape = wiring.shape(projection.source)
    target = wiring.populations[projection.target]
    if projection.target == READOUT:
        return _dense(projection, shape, target, rng)
    chain: dict[str, nir.NIRNode] = {projection.name: _conv2d(projection, shape, target, rng)}
    if projection.delay:
        delay = np.full(target.shape, projection.delay * task.dt)
        chain[f"{projection.name}.delay"] = nir.Delay(delay)
    return chain


def _dense(
    projection: Projection, shape: tuple[int, ...], target: Population, rng: np.random.Generator
) -> dict[str, nir.NIRNode]:
    inputs = int(np.prod(shape))
    weight = _weights(rng, (target.shape[0], inputs), inputs, projection.sign)
    metadata = {"sign": projection.sign, "bias": projection.bias}
    if projection.bias:
        dense: nir.NIRNode = nir.Affine(weight, np.zeros(target.shape, np.float32), metadata=metadata)
    else:
        dense = nir.Linear(weight, metadata=metadata)
    flatten = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
    return {f"{projection.name}.flatten": flatten, projection.name: dense}


def _conv2d(
    projection: Projection, shape: tuple[int, ...], target: Population, rng: np.random.Generator
) -> nir.Conv2d:
    kernel, channels = target.gene.kernel, target.shape[0]
    size = (channels, shape[0], kernel, kernel)
    weight = _weights(rng, size, shape[0] * kernel**2, projection.sign)
    metadata: dict[str, Any] = {"sign": projection.sign, "bias": projection.bias}
    if projection.neighbours_only:
        mask = np.ones(size, np.float32)
        mask[np.arange(channels), np.arange(channels), kernel // 2, kernel // 2] = 0
        weight = np.where(mask == 0, np.float32(0), weight)
        metadata["mask"] = mask
    return nir.Conv2d(
        input_shape=(shape[1], shape[2]),
        weight=weight,
        stride=projection.stride,
        padding=kernel // 2,
        dilation=1,
        groups=1,
        bias=np.zeros(channels, np.float32),
        metadata=metadata,
    )


_Signed = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_SIGN: Mapping[str, _Signed] = {
    "mixed": lambda w: w,
    "excitatory": np.abs,
    "inhibitory": lambda w: -np.abs(w),
}


def _weights(rng: np.random.Generator, size: tuple[int, ...], fan_in: int, sign: str) -> NDArray[np.float32]:
    drawn = rng.standard_normal(size) / np.sqrt(fan_in)
    return np.asarray(_SIGN[sign](drawn), dtype=np.float32)


def _neuron(gene: NodeGene, shape: tuple[int, ...]) -> dict[str, Any]:
    metadata = {} if gene.weight_bits == WEIGHT_BITS else {"weight_bits": gene.weight_bits}
    return {"v_threshold": np.full(shape, gene.threshold), "v_reset": np.zeros(shape), "metadata": metadata}


def _if(gene: NodeGene, shape: tuple[int, ...], dt: float) -> nir.IF:
    return nir.IF(r=np.full(shape, 1 / dt), **_neuron(gene, shape))


def _lif(gene: NodeGene, shape: tuple[int, ...], dt: float) -> nir.LIF:
    tau = np.full(shape, _steps(gene.tau) * dt)
    return nir.LIF(tau=tau, r=np.ones(shape), v_leak=np.zeros(shape), **_neuron(gene, shape))


def _cubalif(gene: NodeGene, shape: tuple[int, ...], dt: float) -> nir.CubaLIF:
    return nir.CubaLIF(
        tau_syn=np.full(shape, _steps(gene.tau_syn) * dt),
        tau_mem=np.full(shape, _steps(gene.tau) * dt),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        w_in=np.ones(shape),
        **_neuron(gene, shape),
    )


def _steps(tau: float | None) -> float:
    assert tau is not None, "the canonical form keeps every time constant that its model reads"
    return tau


_NEURON: Mapping[str, Any] = {"if": _if, "lif": _lif, "cubalif": _cubalif}

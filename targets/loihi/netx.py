"""Export to lava-dl: the HDF5 file that `lava.lib.dl.netx.hdf5.Network` (lava-dl 0.6.0) loads.

The file holds a list of dense and convolution blocks of current-based neurons. It stores no weight exponent
and fixes the bias exponent at 6, netx halves the resolution of one-signed matrices with zeros, and drops what
it does not know in silence: so a network is lowered anew for it (`netx_program`), and what the file cannot
hold is refused here. Pooling is folded into the matrix of the next block, which then is dense.

The network runs free. To reset it between samples of T steps, load it with
`Network(path, reset_interval=T, reset_offset=1)`: block k (from 1) then belongs to step t - k of the input.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import UnsupportedNodeError
from targets.files import replacing
from targets.graph.graph import SpikingGraph
from targets.graph.shapes import pair
from targets.loihi import limits
from targets.loihi.formats import own_formats
from targets.loihi.lower import lower
from targets.loihi.program import FixedHop, FixedPopulation, Program, hardware_populations
from targets.target import Refusal, listed

_BIAS_EXPONENT = 6


def netx_program(graph: SpikingGraph) -> Program:
    """`graph` lowered to what the file holds: weights with a sign bit, biases at exponent 6 and up.

    Raises:
        UnsupportedNodeError: a core cannot hold the graph, or the file cannot; every reason at once.
    """
    chosen = replace(own_formats(graph), mixed=True, least_bias_exponent=_BIAS_EXPONENT)
    program = lower(graph, chosen)
    found = netx_refusals(program)
    if found:
        raise UnsupportedNodeError("netx cannot hold this graph:\n" + listed(found))
    return program


def netx_refusals(program: Program) -> list[Refusal]:
    """What of a lowered network the file cannot hold."""
    found = []
    expected = next(iter(program.inputs))
    for population in program.populations:
        into = [hop for hop in program.hops if hop.target == population.name]
        found += [Refusal(population.name, *reason) for reason in _chain_reasons(into, expected)]
        found += [Refusal(population.name, *reason) for reason in _block_reasons(population, into)]
        expected = population.name
    for name, read in program.outputs.items():
        if read != expected:
            found.append(Refusal(name, f"reads {read!r}, allowed the last population {expected!r}"))
    return found


def _chain_reasons(into: list[FixedHop], expected: str) -> Iterator[tuple[str, str]]:
    if [hop.source for hop in into] != [expected]:
        listed_sources = ", ".join(repr(hop.source) for hop in into) or "nothing"
        reason = f"is fed by {listed_sources}, allowed {expected!r} alone: the file is a list of blocks"
        yield reason, "use the lava target for skips, branches and recurrence"
    for hop in into:
        if hop.delay:
            yield f"the hop from {hop.source!r} holds {hop.delay} steps of delay, allowed 0", ""


def _block_reasons(population: FixedPopulation, into: list[FixedHop]) -> Iterator[tuple[str, str]]:
    if population.subtract:
        yield "resets softly, allowed a reset to zero", ""
    groups = len(hardware_populations(population))
    if groups > 1:
        reason = f"its neurons fall into {groups} groups of equal decays, allowed 1 in a block"
        yield reason, "share time constants, or use the lava target"
    if population.bias_u.any():
        yield "has a bias on its synaptic current, allowed on the membrane", "use a LIF or IF population"
    if len(population.bias_v) > 1:
        yield f"has a bias that changes in step {len(population.bias_v) - 1}, allowed a constant one", ""
    largest = int(np.abs(population.bias_v).max(initial=0)) >> _BIAS_EXPONENT
    if largest > limits.BIAS_MANTISSA_MAX:
        yield f"has a bias of {largest} << 6, allowed {limits.BIAS_MANTISSA_MAX} << 6", "scale it down"
    for hop in into:
        if hop.matrix.nnz == 0:
            yield f"all weights from {hop.source!r} are 0, which netx cannot load", "leave the block out"
        if hop.exponent:
            yield f"weights from {hop.source!r} need exponent {hop.exponent}, allowed 0", "scale them down"


def save_netx(program: Program, path: str | os.PathLike[str]) -> None:
    """Write `program`, made by `netx_program`, whole or not at all.

    Raises:
        UnsupportedNodeError: the file cannot hold it.
    """
    found = netx_refusals(program)
    if found:
        raise UnsupportedNodeError("netx cannot hold this network:\n" + listed(found))
    with replacing(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        for i, layer in enumerate(_layers(program)):
            _write(file.create_group(f"layer/{i}"), layer)


def _layers(program: Program) -> Iterator[dict[str, Any]]:
    """Datasets of each layer; images are [C, H, W], as lava-dl writes them."""
    ((_, shape),) = program.inputs.items()
    image: tuple[int, ...] | None = shape if len(shape) == 3 else None
    for i, population in enumerate(program.populations):
        (hop,) = (h for h in program.hops if h.target == population.name)
        window = None if image is None else _window(program, hop)
        if i == 0:
            # netx hands a dense block a flat input, whatever the shape in the graph.
            yield {"type": "input", "shape": np.array(shape if window else [int(np.prod(shape))])}
        if window is not None:
            assert hop.kernel is not None
            yield {
                "type": "conv",
                "shape": np.array(population.shape),
                "weight": hop.kernel.astype(np.int64),
                **window,
                **_bias(population, by_channel=True),
                "neuron": _neuron(population),
            }
            image = population.shape
            continue
        if i and image is not None:
            yield {"type": "flatten", "shape": np.array([int(np.prod(image))])}
        yield {
            "type": "dense",
            "shape": np.array([int(np.prod(population.shape))]),
            "weight": hop.matrix.toarray().astype(np.int64),
            **_bias(population, by_channel=False),
            "neuron": _neuron(population),
        }
        image = None


def _window(program: Program, hop: FixedHop) -> dict[str, Any] | None:
    """Stride, padding, dilation and groups where the hop is one convolution over images, else None."""
    if hop.convolution is None or hop.kernel is None:
        return None
    node = program.graph.nodes[hop.convolution]
    if not isinstance(node, nir.Conv2d):
        return None
    dilation = pair(node.dilation)
    padding = _padding(node, hop.kernel.shape[2:], dilation)
    if padding is None:
        return None
    numbers = {"stride": pair(node.stride), "padding": padding, "dilation": dilation}
    return {**{k: np.array(v, np.int64) for k, v in numbers.items()}, "groups": np.int64(node.groups)}


def _padding(node: nir.Conv2d, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int] | None:
    """Equal padding on both sides in pixels; None where "same" needs it to differ."""
    if node.padding == "valid":
        return 0, 0
    if node.padding == "same":
        sums = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return None if any(s % 2 for s in sums) else (sums[0] // 2, sums[1] // 2)
    found = pair(node.padding)
    return int(found[0]), int(found[1])


def _bias(population: FixedPopulation, by_channel: bool) -> dict[str, NDArray[np.int64]]:
    mantissa = (population.bias_v[0] >> _BIAS_EXPONENT).reshape(population.shape)
    if not mantissa.any():
        return {}
    if not by_channel:
        return {"bias": mantissa.ravel()}
    channels = mantissa.reshape(len(mantissa), -1)
    if (channels == channels[:, :1]).all():
        return {"bias": channels[:, 0]}
    # netx holds images as [W, H, C] and takes a bias of that shape as it is.
    return {"bias": mantissa.transpose(2, 1, 0)}


def _neuron(population: FixedPopulation) -> dict[str, Any]:
    return {
        "type": "CUBA",
        "iDecay": np.int64(population.du + 1),
        "vDecay": np.int64(population.dv),
        "vThMant": np.int64(population.vth),
        "refDelay": np.int64(1),
        "gradedSpike": False,
    }


def _write(group: h5py.Group, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _write(group.create_group(name), value)
        elif isinstance(value, str):
            group.create_dataset(name, (1,), "S10", [value.encode("ascii")])
        else:
            group.create_dataset(name, data=value)

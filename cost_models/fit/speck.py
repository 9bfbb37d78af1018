"""Fit on Speck 2f: one layer a core, nine unlike cores, so that all layers together decide what fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import nir
import numpy as np

from cost_models.device import Device
from cost_models.fit.links import find_links, weights_of
from cost_models.fit.report import FitReport, Slice, Use, WeightBits
from cost_models.fit.rules import Finding, broken_by
from cost_models.fit.speck_layers import POOLS, Case, Layer, layer_of
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.graph.shapes import pair


def fit(graph: SpikingGraph, device: Device, weight_bits: WeightBits, graded: bool) -> FitReport:
    """Check `graph` on a chip with one layer a core."""
    links = find_links(graph)
    found = [layer_of(graph, links, name) for name in graph.populations]
    layers = tuple(layer for layer in found if layer is not None)
    odd = tuple(name for name, layer in zip(graph.populations, found, strict=True) if layer is None)
    case = Case(graph, links, layers, odd, device)
    cores = dict(zip((layer.name for layer in layers), case.core_of, strict=True))
    placed = not odd and -1 not in cores.values()
    return FitReport(
        device=device.name,
        weight_bits=weight_bits,
        cores=len(graph.populations),
        population_cores=dict.fromkeys(graph.populations, 1),
        use={name: {} for name in odd} | {one.name: _use(case, one, cores[one.name]) for one in layers},
        broken=broken_by(RULES, case),
        placement=_placement(graph, cores) if placed else (),
        chip_use={"cores": Use(len(graph.populations), len(case.sizes("kernel_words")))},
        unchecked=(
            "synaptic operations per second: a core's ceiling is not published; above it the chip stalls",
            "order of events: the chip has no time steps",
            *(("graded input: the chip takes events",) if graded else ()),
        ),
        sources=device.sources,
    )


def _use(case: Case, layer: Layer, core: int) -> dict[str, Use]:
    """Of the core that holds the layer, or of the largest memories where none does."""

    def allowed(key: str) -> int:
        sizes = case.sizes(key)
        return sizes[core] if core >= 0 else max(sizes)

    return {
        "kernel_words": Use(layer.kernel_words, allowed("kernel_words")),
        "neuron_words": Use(layer.neuron_words, allowed("neuron_words")),
        "biases": Use(layer.biases, case.device.integer("biases")),
    }


def _placement(graph: SpikingGraph, cores: dict[str, int]) -> tuple[Slice, ...]:
    whole = {name: tuple((0, size) for size in graph.shapes[name]) for name in cores}
    return tuple(
        Slice(name, whole[name], core, None) for name, core in sorted(cores.items(), key=lambda c: c[1])
    )


def neuron(case: Case) -> Iterator[Finding]:
    """Populations must be IF neurons: the chip has no exponential decay."""
    for name in case.graph.populations:
        if not isinstance(case.graph.nodes[name], nir.IF):
            hint = f"use IF in place of {kind(case.graph.nodes[name])}"
            yield Finding(name, 1, 0, hint)


def layer(case: Case) -> Iterator[Finding]:
    """A population must be fed by one Conv2d or dense layer, behind nothing but pooling."""
    for name in case.odd:
        into = [link for link in case.links.hops if link.target == name]
        hint = "feed it through one Conv2d, Linear or Affine node that all its sources share"
        yield Finding(name, len(into), 1, hint)
    for name in case.links.nonlinear:
        yield Finding(name, 1, 0, "replace it by a population of IF neurons, or take it out")


def recurrence(case: Case) -> Iterator[Finding]:
    """Layers must form no cycle."""
    for name in case.graph.populations:
        if name in case.graph.cyclic:
            yield Finding(name, 1, 0, "take out the edge that closes the cycle")


def delay(case: Case) -> Iterator[Finding]:
    """There must be no delays: an event moves on as soon as it is there."""
    for link in case.links.hops:
        if link.delay:
            yield Finding(link.target, link.delay, 0, f"take out the Delay after {link.source!r}")


def kernel_size(case: Case) -> Iterator[Finding]:
    """Kernels must be square, of at most 16 x 16; a dense layer has a kernel of its input's size."""
    for one in case.layers:
        most = case.device.integer("kernel_size")
        if max(one.kernel) > most:
            yield Finding(
                one.name, max(one.kernel), most, f"make the kernel of {one.node!r} smaller, or pool before it"
            )
        elif one.kernel[0] != one.kernel[1]:
            yield Finding(
                one.name, max(one.kernel), min(one.kernel), f"pad the kernel of {one.node!r} to a square"
            )


def dense_kernel(case: Case) -> Iterator[Finding]:
    """Kernels must have neither groups nor dilation."""
    for one in case.layers:
        if one.per_tap > 1:
            yield Finding(one.name, one.per_tap, 1, f"use groups 1 and dilation 1 in {one.node!r}")


def stride(case: Case) -> Iterator[Finding]:
    """Strides must be 1, 2, 4 or 8."""
    for one in case.layers:
        yield from _one_of(case, one, "strides", one.stride, "use another stride, or pool")


def padding(case: Case) -> Iterator[Finding]:
    """Padding must be at most 7, and alike on both sides."""
    for one in case.layers:
        most, half = case.device.integer("padding"), len(one.padding) // 2
        if max(one.padding) > most:
            yield Finding(one.name, max(one.padding), most, f"pad {one.node!r} less")
        elif one.padding[:half] != one.padding[half:] and half:
            yield Finding(
                one.name, max(one.padding), min(one.padding), f"pad {one.node!r} alike on both sides"
            )


def pooling(case: Case) -> Iterator[Finding]:
    """Pooling must be square, by 1, 2 or 4 in all, with a stride of its size and no padding."""
    allowed = [int(size) for size in case.device.series("poolings")]
    for link in case.links.hops:
        factor = [1, 1]
        for node in weights_of(case.graph, link):
            if isinstance(node, POOLS):
                size = pair(node.kernel_size)
                factor = [factor[0] * size[0], factor[1] * size[1]]
                if pair(node.stride) != size or any(pair(node.padding)):
                    yield Finding(
                        link.target, max(pair(node.stride)), max(size), "pool with stride = size, padding 0"
                    )
        if factor[0] != factor[1] or factor[0] not in allowed:
            near = min(allowed, key=lambda size: abs(size - max(factor)))
            hint = f"pool by 1, 2 or 4 after {link.source!r}, or use a stride"
            yield Finding(link.target, max(factor), near, hint)


def input_map(case: Case) -> Iterator[Finding]:
    """The maps that enter a layer must be at most 128 x 128."""
    for one in case.layers:
        yield from _at_most(case, one, "input_map", max(one.maps[1:]), "crop, or pool before this layer")


def output_map(case: Case) -> Iterator[Finding]:
    """The maps of a layer's neurons must be at most 64 x 64."""
    for one in case.layers:
        yield from _at_most(
            case, one, "output_map", max(one.neurons[1:]), "use a stride, or pool before this layer"
        )


def channels(case: Case) -> Iterator[Finding]:
    """A layer must have at most 1,024 channels in and out."""
    for one in case.layers:
        yield from _at_most(case, one, "channels", max(one.maps[0], one.neurons[0]), "use fewer channels")


def destinations(case: Case) -> Iterator[Finding]:
    """A layer must feed at most two others."""
    most = case.device.integer("destinations")
    fed = Counter(source for source, _ in {(link.source, link.target) for link in case.links.hops})
    for name, count in fed.items():
        if count > most:
            yield Finding(name, count, most, "connect it to fewer layers")


def kernel_memory(case: Case) -> Iterator[Finding]:
    """The kernel of a layer must fit the largest kernel memory of a core."""
    for one in case.layers:
        most = max(case.sizes("kernel_words"))
        if one.kernel_words > most:
            yield Finding(one.name, one.kernel_words, most, "use fewer channels or a smaller kernel")


def neuron_memory(case: Case) -> Iterator[Finding]:
    """The neurons of a layer must fit the largest neuron memory of a core."""
    for one in case.layers:
        most = max(case.sizes("neuron_words"))
        if one.neuron_words > most:
            hint = "use fewer channels or smaller maps (rows and columns count as the next power of two)"
            yield Finding(one.name, one.neuron_words, most, hint)


def core_memory(case: Case) -> Iterator[Finding]:
    """One core must hold both the kernel and the neurons of a layer."""
    for one, held in zip(case.layers, case.holds, strict=True):
        pairs = list(zip(case.sizes("kernel_words"), case.sizes("neuron_words"), strict=True))
        most = max((neurons for kernel, neurons in pairs if one.kernel_words <= kernel), default=0)
        if not held.any() and most and one.neuron_words <= max(case.sizes("neuron_words")):
            hint = f"no core with {one.kernel_words} kernel words has more neuron words; shrink either"
            yield Finding(one.name, one.neuron_words, most, hint)


def cores(case: Case) -> Iterator[Finding]:
    """There must be no more layers than cores."""
    count, most = len(case.graph.populations), len(case.sizes("kernel_words"))
    if count > most:
        yield Finding(case.graph.populations[-1], count, most, "use fewer layers")


def assignment(case: Case) -> Iterator[Finding]:
    """All layers together must find a core each that holds them."""
    for index, core in enumerate(case.core_of):
        if core >= 0 or not case.holds[index].any():
            continue
        layers, cores = _rivals(case, index)
        names = ", ".join(case.layers[i].name for i in sorted(layers))
        where = ", ".join(map(str, sorted(cores)))
        hint = f"{names} fit no core but {where}; make one of them smaller"
        yield Finding(case.layers[index].name, len(layers), len(cores), hint)


def _rivals(case: Case, index: int) -> tuple[set[int], set[int]]:
    """Layers that compete with a left-over one, and the cores that they compete for (Hall's theorem)."""
    holder = {core: layer for layer, core in enumerate(case.core_of) if core >= 0}
    layers, cores, pending = {index}, set[int](), [index]
    while pending:
        for core in np.flatnonzero(case.holds[pending.pop()]).tolist():
            if core not in cores:
                cores.add(core)
                if holder[core] not in layers:
                    layers.add(holder[core])
                    pending.append(holder[core])
    return layers, cores


def _one_of(case: Case, one: Layer, key: str, found: tuple[int, ...], hint: str) -> Iterator[Finding]:
    allowed = [int(size) for size in case.device.series(key)]
    for value in sorted(set(found) - set(allowed)):
        yield Finding(one.name, value, min(allowed, key=lambda size: abs(size - value)), hint)


def _at_most(case: Case, one: Layer, key: str, found: int, hint: str) -> Iterator[Finding]:
    if found > case.device.integer(key):
        yield Finding(one.name, found, case.device.integer(key), hint)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    neuron,
    layer,
    recurrence,
    delay,
    kernel_size,
    dense_kernel,
    stride,
    padding,
    pooling,
    input_map,
    output_map,
    channels,
    destinations,
    kernel_memory,
    neuron_memory,
    core_memory,
    cores,
    assignment,
)

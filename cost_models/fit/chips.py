"""What one slice of a population uses on a core of each chip with a mesh of cores: one class a chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from cost_models.device import Device
from cost_models.fit.network import ChipNetwork, Connection, Group
from cost_models.fit.report import Region, Stored, WeightBits, bits_of, volume
from cost_models.fit.split import fewest_flat, fewest_tiles
from cost_models.fit.synapses import (
    Lists,
    loihi1_formats,
    loihi2_convolution_words,
    loihi2_dense_words,
    loihi2_sparse_words,
)
from targets.errors import ConfigError

Counts = NDArray[np.int64]


class Chip(Protocol):
    """How a chip counts and splits.

    Attributes:
        memory: name of its synapse memory resource.
        device: its limits.
    """

    memory: str
    device: Device

    def max_delay(self) -> int | None:
        """Axonal delay in steps that it has, None where that is not known."""
        ...

    def tile_of(self, core: int) -> tuple[int, int] | None:
        """Mesh column and row of a core's tile, None where the mesh is not known."""
        ...

    def use(self, network: ChipNetwork, group: Group, region: Region) -> dict[str, int]:
        """What a region of a group uses of `compartments`, `in_axons` and the synapse memory."""
        ...

    def stored(self, group: Group, connection: Connection, region: Region) -> Stored:
        """How a connection into a group is stored on the core of a region."""
        ...

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], out: Counts, least: int
    ) -> tuple[Region, ...]:
        """Regions of a group within `limits`, at least `least` of them; `out` is the out-axons of each
        neuron, which `limits` bounds where it names them."""
        ...

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        """The chip's accounting of axons into this group is known."""
        ...


class Loihi1:
    """Loihi 1 by nengo-loihi's rules; slices are runs of flattened neurons."""

    memory = "synapse_bits"

    def __init__(self, device: Device, weight_bits: WeightBits) -> None:
        self.device, self.weight_bits = device, weight_bits
        self._kept: dict[tuple[str, Region], dict[str, int]] = {}

    def max_delay(self) -> int | None:
        return self.device.integer("max_axonal_delay")

    def tile_of(self, core: int) -> tuple[int, int] | None:
        tile = core // self.device.integer("cores_per_tile")
        rows = self.device.integer("tile_rows")
        return (tile // rows, tile % rows)

    def use(self, network: ChipNetwork, group: Group, region: Region) -> dict[str, int]:
        return _kept(self, self._kept, network, group, region)

    def stored(self, group: Group, connection: Connection, region: Region) -> Stored:
        bits, lists = bits_of(self.weight_bits, group.name), connection.lists(*region[0])
        sizes = loihi1_formats(lists, bits, self.device, connection.delay)
        used = min(sizes, key=lambda form: sizes[form])
        return Stored(connection.source, group.name, used, connection.shared, sizes, lists.axons)

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], out: Counts, least: int
    ) -> tuple[Region, ...]:
        return split_flat(self, network, group, limits, out, least)

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        return True


class Loihi2:
    """Loihi 2 as Intel's compiler counts; populations of pure convolutions are cut into tiles."""

    memory = "synapse_words"

    def __init__(self, device: Device, weight_bits: WeightBits) -> None:
        self.device, self.weight_bits = device, weight_bits
        self._kept: dict[tuple[str, Region], dict[str, int]] = {}

    def max_delay(self) -> int | None:
        return None

    def tile_of(self, core: int) -> tuple[int, int] | None:
        return None

    def use(self, network: ChipNetwork, group: Group, region: Region) -> dict[str, int]:
        return _kept(self, self._kept, network, group, region)

    def stored(self, group: Group, connection: Connection, region: Region) -> Stored:
        bits, source = bits_of(self.weight_bits, group.name), connection.source
        if len(region) > 1:
            (first, last), *_ = region
            words = self._tile_words(connection, last - first, volume(region), bits)
            form = "sparse" if connection.convolution is None else "convolution"
            return Stored(source, group.name, form, connection.convolution is not None, {form: words}, None)
        lists = connection.lists(*region[0])
        sizes = {
            "dense": loihi2_dense_words(lists, bits, self.device),
            "sparse": loihi2_sparse_words(lists, bits, self.device),
        }
        return Stored(source, group.name, "sparse", connection.shared, sizes, lists.axons)

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], out: Counts, least: int
    ) -> tuple[Region, ...]:
        if self.counts_axons(network, group):
            return split_flat(self, network, group, limits, out, least)
        bits, into = bits_of(self.weight_bits, group.name), network.into(group.name)
        allowed = limits.get(self.memory, None)

        def fits(channels: int, neurons: int) -> bool:
            words = (self._tile_words(connection, channels, neurons, bits) for connection in into)
            return allowed is None or sum(words) <= allowed

        whole = self.device.integer("compiler_generation") == 1
        tiles = fewest_tiles(group.shape, limits.get("compartments", group.size + 1), fits, least, whole)
        return tiles if tiles is not None else split_flat(self, network, group, limits, out, least)

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        into = [c for c in network.into(group.name) if network.groups[c.source].role != "constant"]
        return len(group.shape) < 2 or not into or not all(c.convolution for c in into)

    def _tile_words(self, connection: Connection, channels: int, neurons: int, weight_bits: int) -> int:
        if connection.convolution is None:
            return loihi2_sparse_words(Lists.full(neurons, 1), weight_bits, self.device)
        return convolution_words(connection.convolution, channels, weight_bits, self.device)


def convolution_words(node: nir.Conv1d | nir.Conv2d, channels: int, weight_bits: int, device: Device) -> int:
    """Words of `channels` output channels of a convolution; a group's inputs reach only its outputs."""
    outputs, *kernel = node.weight.shape
    per_group = outputs // int(node.groups)
    reached = -(-channels // per_group)
    words = loihi2_convolution_words(prod(kernel), min(channels, per_group), weight_bits, device)
    return reached * words


def split_flat(
    chip: Chip, network: ChipNetwork, group: Group, limits: Mapping[str, int], out: Counts, least: int
) -> tuple[Region, ...]:
    """The fewest slices of flattened neurons within `limits`."""
    sent = np.concatenate([[0], np.cumsum(out)])

    def load(start: int, stop: int) -> float:
        use = chip.use(network, group, ((start, stop),))
        if stop - start > 1:
            use["out_axons"] = int(sent[stop] - sent[start])
        return max((use[name] / limits[name] for name in use if name in limits), default=0.0)

    longest = max(1, min(limits.get("compartments", group.size), -(-group.size // least)))
    shared = any(connection.shared for connection in network.into(group.name))
    units = sorted({prod(group.shape[axis:]) for axis in range(1, len(group.shape) + 1)}, reverse=True)
    return fewest_flat(group.size, longest, load, units if shared else (1,))


def _kept(
    chip: Chip,
    kept: dict[tuple[str, Region], dict[str, int]],
    network: ChipNetwork,
    group: Group,
    region: Region,
) -> dict[str, int]:
    key = (group.name, region)
    if key not in kept:
        into = network.into(group.name)
        stored = [chip.stored(group, connection, region) for connection in into]
        kept[key] = {"compartments": volume(region), chip.memory: sum(one.size for one in stored)}
        axons = [one.axons for one in stored if one.axons is not None]
        if len({one.source for one in stored}) < len(stored):
            axons = [found.size for found in network.find_sources(group.name, region).values()]
        if chip.counts_axons(network, group):
            kept[key]["in_axons"] = sum(axons)
    return dict(kept[key])


_CHIPS: Mapping[str, Callable[[Device, WeightBits], Chip]] = {"loihi1": Loihi1, "loihi2": Loihi2}


# With none of these there is nothing to divide a network by.
_AT_LEAST_ONE = ("cores", "compartments", "in_axons", "out_axons", "word_bits")


def chip_for(device: Device, weight_bits: WeightBits) -> Chip:
    """The counting rules of a limits device.

    Raises:
        ConfigError: its chip has no mesh of cores, or a capacity is zero.
    """
    if device.chip not in _CHIPS:
        raise ConfigError(f"{device.file}: chip: found {device.chip!r}, allowed {', '.join(_CHIPS)}")
    chip = _CHIPS[device.chip](device, weight_bits)
    for key in (*_AT_LEAST_ONE, chip.memory):
        if device.integer(key) < 1:
            raise ConfigError(f"{device.file}: constants.{key}: found 0, allowed at least 1")
    return chip

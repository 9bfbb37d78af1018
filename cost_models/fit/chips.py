"""What one slice of a population uses on a core of each chip: one class a chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import nir
import numpy as np

from cost_models.device import Device
from cost_models.fit.network import ChipNetwork, Connection, Group
from cost_models.fit.report import Region
from cost_models.fit.split import fewest_flat, fewest_tiles
from cost_models.fit.synapses import loihi1_bits, loihi2_convolution_words, loihi2_sparse_words
from targets.errors import ConfigError


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

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], least: int
    ) -> tuple[Region, ...]:
        """Regions of a group within `limits`, at least `least` of them."""
        ...

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        """The chip's accounting of axons into this group is known."""
        ...


class Loihi1:
    """Loihi 1 by nengo-loihi's rules; slices are runs of flattened neurons."""

    memory = "synapse_bits"

    def __init__(self, device: Device, weight_bits: int) -> None:
        self.device, self.weight_bits = device, weight_bits
        self._memory: dict[tuple[str, Region], int] = {}

    def max_delay(self) -> int | None:
        return self.device.integer("max_axonal_delay")

    def tile_of(self, core: int) -> tuple[int, int] | None:
        tile = core // self.device.integer("cores_per_tile")
        rows = self.device.integer("tile_rows")
        return (tile // rows, tile % rows)

    def use(self, network: ChipNetwork, group: Group, region: Region) -> dict[str, int]:
        ((start, stop),) = region
        into = network.into(group.name)
        bits = (loihi1_bits(c.matrix[start:stop], c.shared, self.weight_bits, self.device) for c in into)
        key = (group.name, region)
        if key not in self._memory:
            self._memory[key] = sum(bits)
        return {
            "compartments": stop - start,
            "in_axons": in_axons(network, group, region),
            self.memory: self._memory[key],
        }

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], least: int
    ) -> tuple[Region, ...]:
        return split_flat(self, network, group, limits, least)

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        return True


class Loihi2:
    """Loihi 2 as Intel's compiler counts; populations of pure convolutions are cut into tiles."""

    memory = "synapse_words"

    def __init__(self, device: Device, weight_bits: int) -> None:
        self.device, self.weight_bits = device, weight_bits
        self._memory: dict[tuple[str, Region], int] = {}

    def max_delay(self) -> int | None:
        return None

    def tile_of(self, core: int) -> tuple[int, int] | None:
        return None

    def use(self, network: ChipNetwork, group: Group, region: Region) -> dict[str, int]:
        into = network.into(group.name)
        if len(region) == 3:
            (first, last), *_ = region
            neurons = int(np.prod([stop - start for start, stop in region]))
            return {
                "compartments": neurons,
                self.memory: self._tile_words(network, into, last - first, neurons),
            }
        ((start, stop),) = region
        key = (group.name, region)
        words = (
            loihi2_sparse_words(c.matrix[start:stop], c.shared, self.weight_bits, self.device) for c in into
        )
        if key not in self._memory:
            self._memory[key] = sum(words)
        use = {"compartments": stop - start, self.memory: self._memory[key]}
        if self.counts_axons(network, group):
            use["in_axons"] = in_axons(network, group, region)
        return use

    def split(
        self, network: ChipNetwork, group: Group, limits: Mapping[str, int], least: int
    ) -> tuple[Region, ...]:
        if self.counts_axons(network, group):
            return split_flat(self, network, group, limits, least)
        into = network.into(group.name)

        def fits(channels: int, neurons: int) -> bool:
            return self._tile_words(network, into, channels, neurons) <= limits[self.memory]

        channels, rows, columns = group.shape
        tiles = fewest_tiles((channels, rows, columns), limits["compartments"], fits)
        if tiles is not None and len(tiles) >= least:
            return tiles
        return split_flat(self, network, group, limits, least)

    def counts_axons(self, network: ChipNetwork, group: Group) -> bool:
        into = [c for c in network.into(group.name) if network.groups[c.source].role != "constant"]
        return len(group.shape) != 3 or not into or not all(c.convolution for c in into)

    def _tile_words(self, network: ChipNetwork, into: list[Connection], channels: int, neurons: int) -> int:
        words = 0
        for connection in into:
            if connection.convolution is None:
                bits = neurons * (self.weight_bits + self.device.integer("index_bits"))
                bits += self.device.integer("row_header_bits")
                words += -(-bits // self.device.integer("word_bits"))
            else:
                words += convolution_words(connection.convolution, channels, self.weight_bits, self.device)
        return words


def convolution_words(node: nir.Conv2d, channels: int, weight_bits: int, device: Device) -> int:
    """Words of `channels` output channels of a convolution; a group's inputs reach only its outputs."""
    outputs, inside, rows, columns = node.weight.shape
    per_group = outputs // int(node.groups)
    reached = -(-channels // per_group)
    return reached * loihi2_convolution_words(
        inside * rows * columns, min(channels, per_group), weight_bits, device
    )


def split_flat(
    chip: Chip, network: ChipNetwork, group: Group, limits: Mapping[str, int], least: int
) -> tuple[Region, ...]:
    """The fewest equal slices within `limits`."""

    def fits(start: int, stop: int) -> bool:
        use = chip.use(network, group, ((start, stop),))
        return all(use[name] <= allowed for name, allowed in limits.items() if name in use)

    least = max(least, -(-group.size // max(limits["compartments"], 1)))
    return fewest_flat(group.size, min(least, group.size), fits)


def in_axons(network: ChipNetwork, group: Group, region: Region) -> int:
    """Distinct source neurons with a synapse onto the region."""
    return sum(int(np.count_nonzero(mask)) for mask in network.reached(group.name, region).values())


_CHIPS: Mapping[str, type[Loihi1] | type[Loihi2]] = {"loihi1": Loihi1, "loihi2": Loihi2}


def chip_for(device: Device, weight_bits: int) -> Chip:
    """The counting rules of a limits device; ConfigError where its chip has none."""
    if device.chip not in _CHIPS:
        raise ConfigError(f"{device.file}: chip: found {device.chip!r}, allowed {', '.join(_CHIPS)}")
    return _CHIPS[device.chip](device, weight_bits)

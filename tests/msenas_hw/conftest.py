"""What tests of several folders share: calls of the command line, and small spaces written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, combinations, product

import pytest

from msenas_hw.cli.app import main
from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task, canonical
from msenas_hw.space.canonical import live_cells
from msenas_hw.space.layout import layout

Run = Callable[..., tuple[int, str, str]]
Every = Callable[[SpaceConfig, Task], dict[str, Genome]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(*arguments)` is a call of `msenas`: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def every() -> Every:
    """`every(space, task)`: all networks of a space by their JSON, written out without its operators."""

    def found(space: SpaceConfig, task: Task) -> dict[str, Genome]:
        forms = (canonical(genome, task) for genome in _written_out(space, task))
        return {genome.to_json(): genome for genome in forms}

    return found


def _written_out(space: SpaceConfig, task: Task) -> Iterator[Genome]:
    cells = list(_cells(space))
    for count in range(space.cells[0], space.cells[1] + 1):
        pairs = [(i, j) for j in range(count + 1) for i in range(-1, j) if (i, j) != (-1, count)]
        back = [(i, j) for i in range(count) for j in range(i) if space.feedback]
        forward = [w for w in _subsets(pairs) if len(live_cells(Genome((cells[0],) * count, w))) == count]
        whole = list(product(_subsets(back), space.weight_bits, space.steps or (None,)))
        for members, wires in product(product(cells, repeat=count), forward):
            if max(layout(Genome(members, wires), task).halvings) <= space.max_halvings:
                for feedback, bits, steps in whole:
                    yield Genome(members, wires, feedback, readout_bits=bits, steps=steps)


def _cells(space: SpaceConfig) -> Iterator[CellGene]:
    times = {"if": [(None, None)], "lif": [(tau, None) for tau in space.taus],
             "cubalif": list(product(space.taus, space.taus_syn))}  # fmt: skip
    nodes = [
        NodeGene(model, tau, tau_syn, threshold, kernel, weight_bits=bits)
        for model in space.models
        for tau, tau_syn in times[model]
        for threshold, kernel, bits in product(space.thresholds, space.kernels, space.weight_bits)
    ]
    for motif, width, halve in product(space.motifs, space.widths, (False, True)):
        for genes in product(nodes, repeat=len(MOTIFS[motif].populations)):
            yield CellGene(motif, width, halve, genes)


def _subsets(pairs: list[tuple[int, int]]) -> list[frozenset[tuple[int, int]]]:
    return [frozenset(c) for c in chain.from_iterable(combinations(pairs, k) for k in range(len(pairs) + 1))]

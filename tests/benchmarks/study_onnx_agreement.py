"""ONNX against the reference and against the Loihi simulator: every spike of many networks, forms and opsets.

    python tests/benchmarks/study_onnx_agreement.py [--neuron-steps 100000000] [--fixed-steps 10000000]
        [--seed 0] [--log FILE] [--format json]

Floating point: the graphs of `MSENAS_SHARED`/nir, every motif, networks of the search space and grown by
hand (`study_lava_agreement.py`), and the two of `executor_networks.py`, which are repeated with new input
until the neuron-steps are reached. Each runs as one Scan in opsets 18 to 21 and unrolled, with blocks and
chunks left over; as they are, and with weights on the 2^-8 grid, where it runs in float16 and in two TF32
terms as well. Fixed point: spikes, u and v of programs, every second one at its limits, in both forms. With
`--log` a study that was stopped goes on. It ends with 1 where one value differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from executor_networks import NETWORKS
from study_lava_agreement import draw, grown, searched

import targets
from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, Task, decode
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING, SYNAPSE
from targets.loihi.simulator import LoihiExecutable
from targets.onnx.body import OPSETS
from targets.onnx.executable import OnnxExecutable
from targets.onnx.options import OnnxOptions

SHARED = Path(os.environ.get("MSENAS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
MADE_FAULTY = {"truncated.nir", "braille_zero_subgraph_unreadable.nir"}
SEARCHED = GROWN = 12
STEPS, SAMPLES = 24, 5
PARTS = ("s", "u", "v")

GPU = {"form": "gpu", "steps": 7, "batch": 3}
FORMS: Mapping[str, dict[str, Any]] = {
    **{f"scan, opset {opset}": {"opset": opset} for opset in OPSETS},
    **{f"unrolled, opset {opset}": {**GPU, "opset": opset} for opset in (18, 20)},
}
# Only with weights that they hold.
CHEAP: Mapping[str, dict[str, Any]] = {
    "float16": {"precision": "float16"},
    "two TF32 terms": {"precision": "tf32x2"},
}


def files() -> Iterator[tuple[str, SpikingGraph]]:
    """The real graphs."""
    for path in sorted((SHARED / "nir").glob("*.nir")):
        if path.name in MADE_FAULTY:
            continue
        graph = targets.load(path)
        if graph.profile.dt is None:
            graph = targets.load(path, {"dt": 1e-4})
        yield path.name, graph


def motifs() -> Iterator[tuple[str, SpikingGraph]]:
    """One cell of each motif, with every neuron model."""
    task = Task((1, 6, 6), classes=4, steps=STEPS)
    x = (np.random.default_rng(1).random((STEPS, 8, 1, 6, 6)) < 0.35).astype(np.float32)
    for motif, described in MOTIFS.items():
        for model in ("if", "lif", "cubalif"):
            gene = NodeGene(
                model, None if model == "if" else 4.0, 2.0 if model == "cubalif" else None, 0.75, 3
            )
            cell = CellGene(motif, 4, False, (gene,) * len(described.populations))
            genome = Genome((cell,), frozenset({(-1, 0), (0, 1)}), frozenset())
            found = balance(decode(genome, task), x)
            if isinstance(found, Balanced):
                yield f"{motif}, {model}", found.graph


def drawn(seed: int) -> Iterator[tuple[str, SpikingGraph]]:
    """Networks of the search space, and grown by hand."""
    for number in range(SEARCHED):
        graph, attempt = None, 0
        while graph is None:
            graph, attempt = searched(np.random.default_rng([seed, number, attempt])), attempt + 1
        yield f"searched {number}", graph
    for number in range(GROWN):
        yield f"grown {number}", grown(np.random.default_rng([seed, number]))


def large() -> Iterator[tuple[str, SpikingGraph]]:
    """The two networks of the benchmarks, which hold most of the neuron-steps."""
    for name, build in NETWORKS.items():
        yield name, build()


FAMILIES: Mapping[str, Callable[[int], Iterator[tuple[str, SpikingGraph]]]] = {
    "files": lambda seed: files(),
    "motifs": lambda seed: motifs(),
    "drawn": drawn,
    "large": lambda seed: large(),
}


def on_grid(graph: SpikingGraph) -> SpikingGraph:
    """Weights and biases as multiples of 2^-8 with 11 bits: sums of them are exact in any order."""
    nodes = dict(graph.nodes)
    for name, node in nodes.items():
        if isinstance(node, SYNAPSE):
            keys = [key for key in ("weight", "bias") if hasattr(node, key)]
            values = {key: np.asarray(getattr(node, key)) for key in keys}
            rounded = {key: np.clip(np.rint(v * 256), -2047, 2047) / 256 for key, v in values.items()}
            nodes[name] = dataclasses.replace(node, **rounded)
    return graph.replace(nodes=nodes)


def spikes_in(graph: SpikingGraph, rng: np.random.Generator) -> np.ndarray:
    """Input events [T, B, *shape]."""
    shape = graph.shapes[graph.inputs[0]]
    return (rng.random((STEPS, SAMPLES, *shape)) < rng.uniform(0.05, 0.4)).astype(np.float32)


def compared(graph: SpikingGraph, x: np.ndarray, forms: Mapping[str, dict[str, Any]]) -> list[Counter[str]]:
    """A row for each form: spikes of all populations against the reference's."""
    names = [name for name in graph.populations if isinstance(graph.nodes[name], SPIKING)]
    expected = targets.compile(graph, "reference").run(x, record=names)
    rows = []
    for options in forms.values():
        run = OnnxExecutable(graph, OnnxOptions(**options)).run(x, names)
        row: Counter[str] = Counter(runs=1)
        for name in names:
            row["neuron_steps"] += run.spikes[name].size
            row["spikes"] += int(np.count_nonzero(expected.spikes[name]))
            row["differing_s"] += int(np.count_nonzero(run.spikes[name] != expected.spikes[name]))
            row["differing_counts"] += int(
                np.count_nonzero(run.spike_counts[name] != expected.spike_counts[name])
            )
        rows.append(row)
    return rows


def fixed(number: int, seed: int) -> Counter[str]:
    """One program in both forms against the simulator: s, u and v."""
    program, x = draw(number, seed)
    names = list(program.graph.populations)
    theirs = LoihiExecutable(program).run(x, record=names, states=True)
    row: Counter[str] = Counter()
    for options in ({}, GPU):
        given = OnnxOptions(arithmetic="fixed", program=program, **options)
        ours = OnnxExecutable(program.graph, given).run(x, names, states=True)
        row["runs"] += 1
        for name in names:
            row["neuron_steps"] += ours.spikes[name].size
            row["spikes"] += int(ours.spikes[name].sum())
            row["differing_s"] += int((ours.spikes[name] != theirs.spikes[name]).sum())
            for kind in "uv":
                row[f"differing_{kind}"] += int((ours.states[name][kind] != theirs.states[name][kind]).sum())
    return row


class Study:
    """Rows by case, kept in a file so that a stopped study goes on."""

    def __init__(self, log: Path | None) -> None:
        self._log = log
        self.rows: dict[str, dict[str, Any]] = {}
        if log is not None and log.exists():
            for line in log.read_text().splitlines():
                row = json.loads(line)
                self.rows[row["case"]] = row

    def add(self, case: str, group: str, found: Counter[str]) -> None:
        """Keep one row."""
        self.rows[case] = {"case": case, "group": group, **found}
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(json.dumps(self.rows[case]) + "\n")
        differing = {key: value for key, value in found.items() if key.startswith("differing") and value}
        if differing:
            print(f"{case}: {differing}", file=sys.stderr)

    def total(self, groups: Callable[[str], bool]) -> Counter[str]:
        """Sums over the rows of some groups."""
        whole: Counter[str] = Counter()
        for row in self.rows.values():
            if groups(row["group"]):
                whole.update({key: value for key, value in row.items() if isinstance(value, int)})
        return whole


def float_part(study: Study, seed: int, wanted: int) -> None:
    """Every family once, then the large networks until the neuron-steps are reached."""
    for family, graphs in FAMILIES.items():
        for name, graph in graphs(seed):
            one_graph(study, family, name, graph, 0)
    repeat = 1
    while study.total(lambda group: group != "fixed")["neuron_steps"] < wanted:
        for name, graph in large():
            one_graph(study, "large", name, graph, repeat)
        repeat += 1


def one_graph(study: Study, family: str, name: str, graph: SpikingGraph, repeat: int) -> None:
    """A network with its own weights, and on the grid, in every form."""
    for kind, forms in (("own weights", FORMS), ("grid", {**FORMS, **CHEAP})):
        cases = {form: f"{family}: {name}, {kind}, {form}, {repeat}" for form in forms}
        if all(case in study.rows for case in cases.values()):
            continue
        used = graph if kind == "own weights" else on_grid(graph)
        x = spikes_in(used, np.random.default_rng([repeat, len(name)]))
        for (form, case), row in zip(cases.items(), compared(used, x, forms), strict=True):
            label = form if form in CHEAP else kind
            study.add(case, f"{family}, {label}", row)


def fixed_part(study: Study, seed: int, wanted: int) -> None:
    """Programs until the neuron-steps are reached."""
    number = 0
    while study.total(lambda group: group == "fixed")["neuron_steps"] < wanted:
        case = f"fixed {number}"
        if case not in study.rows:
            study.add(case, "fixed", fixed(number, seed))
        number += 1


def report(study: Study) -> list[dict[str, Any]]:
    """A row a group."""
    groups = dict.fromkeys(row["group"] for row in study.rows.values())
    keys = ("runs", "neuron_steps", "spikes", "differing_s", "differing_u", "differing_v", "differing_counts")
    rows = []
    for group in groups:
        total = study.total(lambda found, group=group: found == group)  # type: ignore[misc]
        rows.append({"group": group, **{key: total[key] for key in keys}})
    return rows


def main() -> int:
    """Run from the command line; 1 where a value differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--neuron-steps", type=int, default=10**8)
    parser.add_argument("--fixed-steps", type=int, default=10**7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    study, began = Study(options.log), time.perf_counter()
    float_part(study, options.seed, options.neuron_steps)
    fixed_part(study, options.seed, options.fixed_steps)
    rows = report(study)
    if options.format == "json":
        print(json.dumps({"groups": rows, "seconds": time.perf_counter() - began}, indent=2))
    else:
        print("\t".join(rows[0]))
        print("\n".join("\t".join(map(str, row.values())) for row in rows))
        print(f"{time.perf_counter() - began:.0f} s")
    return int(any(value for row in rows for key, value in row.items() if key.startswith("differing")))


if __name__ == "__main__":
    sys.exit(main())

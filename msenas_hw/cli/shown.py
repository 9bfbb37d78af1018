"""What `msenas show` shows of a network, a run's architecture, or a space."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msenas_hw.cli.output import text

if TYPE_CHECKING:
    from msenas_hw.search import Study
    from msenas_hw.search.store import Trial
    from msenas_hw.space import Genome, Task
    from targets.graph.graph import SpikingGraph

# Words of metadata that a line shows.
_SHORT = 60
_UNTRAINED = ("fitness", "energy_j", "latency_s", "spikes", "synops", "cores", "memory", "parameters")
_TRAINED = ("validation_accuracy", "test_accuracy", "accuracy_fixed", *_UNTRAINED[1:])
Row = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """JSON `data`; for people `text`, then `tables`; `svg` draws it, None where nothing can be drawn."""

    data: Any
    text: str = ""
    tables: Sequence[Sequence[Mapping[str, Any]]] = ()
    svg: Callable[[], str] | None = field(default=None, repr=False)


def of_model(path: Path, graph: SpikingGraph, nodes: bool) -> Shown:
    """A network in a file: by its cells where it says which they are, unless `nodes` are asked for."""
    from msenas_hw.space.notes import origin_of
    from targets.graph.drawing import svg

    table = _nodes(graph)
    total = sum(node["parameters"] for node in table)
    notes = {key: _short(value) for key, value in graph.metadata.items()}
    data = {
        "nodes": table,
        "parameters": total,
        "profile": asdict(graph.profile),
        "assumptions": list(graph.assumptions),
        "metadata": notes,
    }
    origin = origin_of(graph)
    if origin is not None and not nodes:
        costs = _costs_of_file(path)
        known = _network(*origin, costs)
        return Shown({**known.data, **data}, known.text, known.tables, known.svg)
    rows = [{**node, "shape": _times(node["shape"]), "values": _line(node["values"])} for node in table]
    sums = [{"nodes": len(table), "edges": len(graph.edges), "parameters": total, **asdict(graph.profile)}]
    said = [{"metadata": key, "value": value} for key, value in notes.items()]
    return Shown(data, tables=(rows, sums, said), svg=lambda: svg(graph))


def of_run(run: Path, arch: str) -> Shown:
    """An architecture of a run, with what the search and, if it was trained, the training measured."""
    from msenas_hw.search import Study, open_run
    from msenas_hw.search.evaluation import setting

    study = Study.open(run)
    trial = study.find(arch)
    costs = [_untrained(trial, study), *_trained(open_run(run).artifacts(trial.key) / "train.json")]
    return _network(study.genome(trial.key), setting(study.config).task, costs)


def of_config(path: Path) -> Shown:
    """The ranges of every gene of a configuration, and how many networks they give."""
    import numpy as np

    from msenas_hw.config import load_config
    from msenas_hw.search.evaluation import setting
    from msenas_hw.space import estimate_size

    config = load_config(path)
    task = setting(config).task
    found = estimate_size(config.space, task, np.random.default_rng(0))
    ranges = config.space.model_dump(mode="json")
    ranges["steps"] = ranges["steps"] or [task.steps]
    data = {
        "space": ranges,
        "task": asdict(task),
        "networks": found.networks,
        "standard_error": found.standard_error,
        "by_cells": {str(count): number for count, number in found.by_cells.items()},
        "method": found.method,
    }
    by_scale = sorted(ranges.items(), key=lambda pair: _SCALES.index(_scale(pair[0])))
    genes = [{"scale": _scale(key), "gene": key, "values": text(value)} for key, value in by_scale]
    counts = [{"cells": count, "networks": number} for count, number in found.by_cells.items()]
    total = [{"cells": "all", "networks": found.networks, "standard_error": found.standard_error}]
    return Shown(data, f"{path}: {found}, learning rules aside", (genes, counts, total))


_SCALES = ("micro", "meso", "macro")
_MICRO = ("models", "taus", "taus_syn", "thresholds", "kernels", "weight_bits", "rules")


def _scale(key: str) -> str:
    return "micro" if key in _MICRO else "meso" if key == "motifs" else "macro"


def _network(genome: Genome, task: Task, costs: Sequence[Row]) -> Shown:
    from msenas_hw.space.drawing import draw
    from msenas_hw.space.portrait import portrait, portrait_text

    found = portrait(genome, task)
    columns = list(dict.fromkeys(key for row in costs for key in row))
    table = [{key: row.get(key) for key in columns} for row in costs]
    data = {"network": found, "genome": genome.to_dict(), "costs": list(costs)}
    return Shown(data, portrait_text(found), (table,), lambda: draw(genome, task))


def _untrained(trial: Trial, study: Study) -> Row:
    """What the search measured, of a sample on the device of the budget."""
    measured = trial.measured
    why = measured.failure or measured.reason
    values = {key: getattr(measured, key) for key in _UNTRAINED}
    row = {"weights": "untrained", "device": study.config.budget.device, **values}
    return {**row, "why": why} if why else row


def _trained(file: Path) -> list[Row]:
    """The run that `train.json` kept; none where there is no such file, or another wrote it."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        (kept,) = [row for row in table["runs"] if row["seed"] == table["kept"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [{"weights": f"trained, seed {kept['seed']}", **{key: kept.get(key) for key in _TRAINED}}]


def _costs_of_file(path: Path) -> list[Row]:
    from msenas_hw.search import Study, run_of
    from targets.errors import ConfigError

    run, trained = run_of(path), _trained(path.parent / "train.json")
    if run is None:
        return trained
    try:
        study = Study.open(run.path)
        return [_untrained(study.find(path.resolve().parent.name), study), *trained]
    except ConfigError:  # the folder was named by hand
        return trained


def _nodes(graph: SpikingGraph) -> list[Row]:
    from targets.graph.summary import parameter_count, values

    return [
        {
            "node": name,
            "kind": type(graph.nodes[name]).__name__,
            "shape": list(graph.shapes[name]),
            "from": list(graph.predecessors[name]),
            "cyclic": name in graph.cyclic,
            "parameters": parameter_count(graph.nodes[name]),
            "values": values(graph.nodes[name]),
        }
        for group in graph.components
        for name in group
    ]


def _line(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{text(value['min'])}..{text(value['max'])}"
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return " before, ".join(_times(item) for item in value) + " after"
    return _times(value) if isinstance(value, list) else text(value)


def _times(sizes: list[int]) -> str:
    return " x ".join(map(str, sizes))


def _short(value: Any) -> str:
    """A note in a file, whatever it is, on one line."""
    if hasattr(value, "shape"):
        return f"array {_times(list(value.shape))}"
    line = str(value)
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}..."

"""Model cards: what a person must know of a trained network, as text and as keys in its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from msenas_hw.report.networks import read_json
from msenas_hw.search.folder import open_run
from targets.errors import DataError
from targets.files import replacing
from targets.graph.graph import SpikingGraph

# Keys in the metadata of NIR files and in `metadata_props` of ONNX files begin so.
PREFIX = "card."
FILE = "card.md"


def card(run: Path, arch: str) -> dict[str, Any]:
    """The card of a trained network of a run.

    Returns:
        `model`, `data`, `accuracy`, `counts`, `estimates`, `agreement`, `licence` and `versions`; accuracies
        are fractions, figures a sample's on the test part.

    Raises:
        ConfigError: `run` is no run folder.
        DataError: the network is not trained, or a file of it is damaged.
    """
    import targets

    folder = open_run(run)
    place = folder.artifacts(arch)
    if not (place / "train.json").is_file() or not (place / "model.nir").is_file():
        raise DataError(f"{place}: no trained network; make one with: msenas train {run} --arch {arch}")
    training = read_json(place / "train.json")
    graph = targets.load(place / "model.nir")
    kept = next(row for row in training["runs"] if row["seed"] == training["kept"])
    return {
        "model": {"arch": arch, "run": run.resolve().name, "seed": training["kept"], **_shape(graph)},
        "data": _data(folder.config.data),
        "accuracy": {**_accuracy(training["runs"]), "controls": _controls(run, arch, graph)},
        "counts": {key: kept[key] for key in ("parameters", "cores", "spikes", "synops")},
        "estimates": _estimates(folder.config.budget.device, kept),
        "agreement": _agreement(place),
        "licence": {
            "network": "not stated; whoever trained it decides",
            "data": _data(folder.config.data)["licence"],
        },
        "versions": _versions(run),
    }


def write_cards(run: Path) -> list[Path]:
    """Write `card.md` beside every trained network of a run; the files."""
    written = []
    for training in sorted(run.glob("artifacts/*/train.json")):
        if not (training.parent / "model.nir").is_file():
            continue
        file = training.parent / FILE
        with replacing(file) as temporary:
            temporary.write_text(markdown(card(run, training.parent.name)), encoding="utf-8")
        written.append(file)
    return written


def metadata(found: Mapping[str, Any]) -> dict[str, str]:
    """A card as flat text keys, for the metadata of a model file."""
    return {
        f"{PREFIX}{section}.{key}": value if isinstance(value, str) else json.dumps(value)
        for section, table in found.items()
        if isinstance(table, Mapping)
        for key, value in table.items()
        if value is not None
    }


def markdown(found: Mapping[str, Any]) -> str:
    """A card as Markdown."""
    model = found["model"]
    head = (
        f"Found by the search `{model['run']}`, trained with seed {model['seed']}. "
        f"{model['populations']} populations, {model['neurons']} neurons, {model['classes']} classes."
    )
    sections = {
        "Data": _items(found["data"]),
        "Accuracy": _accuracies(found["accuracy"]),
        "Counts": [*_items(found["counts"]), "", "Spikes and synaptic operations are a sample's."],
        "Estimates": _estimated(found["estimates"]),
        "Agreement of the targets": _compared(found["agreement"]),
        "Licence": _items(found["licence"]),
        "Versions": _items(found["versions"]),
    }
    lines = [f"# Network {model['arch']}", "", head]
    for title, text in sections.items():
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _accuracies(accuracy: Mapping[str, Any]) -> list[str]:
    deviation, seeds = accuracy["deviation"], ", ".join(map(str, accuracy["seeds"]))
    spread = "one seed, so no spread is known" if deviation is None else f"standard deviation {deviation:.4f}"
    columns = ("seed", "validation_accuracy", "test_accuracy", "accuracy_fixed")
    return [
        f"Test accuracy {accuracy['test_accuracy']:.4f} in the mean of seeds {seeds} ({spread}); "
        "the kept seed is the best on validation.",
        "",
        "| seed | validation | test | test, fixed point |",
        "|---|---|---|---|",
        *(f"| {' | '.join(_number(row[key]) for key in columns)} |" for row in accuracy["runs"]),
        "",
        "Controls, on the same test part:",
        "",
        *(f"* {row['what']}: {_number(row['test_accuracy'])}" for row in accuracy["controls"]),
    ]


def _estimated(estimates: Mapping[str, Any]) -> list[str]:
    within = {None: "no budget", True: "yes", False: "no"}[estimates["within_budget"]]
    return [
        f"By the cost model `{estimates['device']}` ({estimates['describes']}); "
        "nothing was measured on a chip.",
        "",
        f"* energy: {_number(estimates['energy_j'])} J a sample{_band(estimates['energy_band'])}",
        f"* latency: {_number(estimates['latency_s'])} s a sample{_band(estimates['latency_band'])}",
        f"* inside the budget: {within}",
        "",
        "Left out:",
        "",
        *(f"* {text}" for text in estimates["omitted"]),
        "",
        "Sources of the constants:",
        "",
        *(f"* {text}" for text in estimates["sources"]),
    ]


def _shape(graph: SpikingGraph) -> dict[str, Any]:
    return {
        "populations": len(graph.populations),
        "neurons": sum(prod(graph.shapes[name]) for name in graph.populations),
        "classes": sum(prod(graph.shapes[name]) for name in graph.outputs),
    }


def _data(section: Any) -> dict[str, Any]:
    """What the network was trained on, and where that is from."""
    from msenas_hw.data.catalogue import SETS

    source = SETS.get(section.name)
    known = {"licence": "that of the user's own file"}
    if source is not None:
        known = {"holds": source.title, "licence": source.licence, "cite": source.cite, "test": source.test}
    return {**section.model_dump(mode="json", exclude_none=True), **known}


def _accuracy(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tested = [float(row["test_accuracy"]) for row in runs]
    keys = ("seed", "validation_accuracy", "test_accuracy", "accuracy_fixed")
    return {
        "seeds": [row["seed"] for row in runs],
        "test_accuracy": mean(tested),
        "deviation": stdev(tested) if len(tested) > 1 else None,
        "runs": [{key: row.get(key) for key in keys} for row in runs],
    }


def _controls(run: Path, arch: str, graph: SpikingGraph) -> list[dict[str, Any]]:
    """Chance, and every other trained network of the run and of the searches inside its folder."""
    chance = 1.0 / sum(prod(graph.shapes[name]) for name in graph.outputs)
    found: list[dict[str, Any]] = [{"what": "chance", "test_accuracy": chance}]
    for file in sorted(run.glob("**/artifacts/*/train.json")):
        if file.parent == run / "artifacts" / arch:
            continue
        inside = file.relative_to(run).parts[:-3]
        place = f" of {'/'.join(inside)}" if inside else " of the same search"
        accuracy = _accuracy(read_json(file)["runs"])
        found.append(
            {"what": f"network {file.parent.name}{place}", "test_accuracy": accuracy["test_accuracy"]}
        )
    return found


def _estimates(device: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    from cost_models import load_device

    source = load_device(device)
    return {
        "device": source.name,
        "describes": source.describes,
        "energy_j": kept["energy_j"],
        "energy_band": _times(kept["energy_j"], source.band("energy")),
        "latency_s": kept["latency_s"],
        "latency_band": _times(kept["latency_s"], source.band("latency")),
        "within_budget": kept["within_budget"],
        "omitted": list(source.omitted),
        "sources": list(source.sources),
    }


def _times(value: float | None, band: tuple[float, float] | None) -> list[float] | None:
    return None if value is None or band is None else [value * band[0], value * band[1]]


def _agreement(place: Path) -> dict[str, Any] | None:
    file = place / "verify.json"
    if not file.is_file():
        return None
    found = read_json(file)
    keys = ("a", "b", "arithmetic", "compared", "differing")
    return {"agree": found["agree"], "pairs": [{key: pair[key] for key in keys} for pair in found["pairs"]]}


def _versions(run: Path) -> dict[str, str]:
    import tomllib

    table = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    return dict(table.get("versions", {}))


def _items(table: Mapping[str, Any]) -> list[str]:
    return [f"* {key.replace('_', ' ')}: {_number(value)}" for key, value in table.items()]


def _number(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _band(band: Sequence[float] | None) -> str:
    return "" if band is None else f", expected between {band[0]:.4g} and {band[1]:.4g}"


def _compared(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["Not verified yet (`msenas verify`)."]
    return [
        f"* {pair['a']} and {pair['b']} in {pair['arithmetic']}: {pair['differing']} of {pair['compared']} "
        "neuron-steps differ"
        for pair in found["pairs"]
    ]

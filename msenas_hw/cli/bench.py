"""`msenas bench`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import (
    Data,
    Encoding,
    Format,
    Model,
    Output,
    Profile,
    Samples,
    Split,
    Steps,
    read_model,
)
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from targets.graph.graph import SpikingGraph
    from targets.run import Run


def bench(
    model: Model,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="A target, may stand several times; by default all that are there."),
    ] = None,
    data: Data = None,
    encoding: Encoding = None,
    steps: Steps = None,
    split: Split = "test",
    samples: Samples = 20,
    profile: Profile = None,
    provider: Annotated[
        str,
        typer.Option("--provider", help="What runs onnx: cpu, cuda or tensorrt; never exchanged in silence."),
    ] = "cpu",
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Let the CPU run onnx where the provider does not load.")
    ] = False,
    form: Output = Format.TABLE,
) -> None:
    """Measure spikes and synaptic operations of each population, and the throughput of each target."""
    import cost_models
    import targets
    from msenas_hw.cli.inputs import read_inputs

    graph = read_model(model, profile)
    given = read_inputs(model, graph, data, encoding, steps, split, samples)
    speeds: list[dict[str, Any]] = []
    layers: dict[str, list[dict[str, Any]]] = {}
    chosen = target or _available()
    if "onnx" not in chosen and (provider != "cpu" or fallback):
        raise targets.ConfigError("--provider, --fallback: found without target onnx, allowed with it")
    for name in chosen:
        options = {"provider": provider, "fallback": fallback} if name == "onnx" else {}
        executable = targets.compile(graph, name, **options)
        executable.run(given.x)  # the first run pays for start-up and caches
        run = executable.run(given.x, record=cost_models.records(graph))
        speed = {"target": name, "ran_on": run.ran_on, "samples_per_s": run.samples / run.seconds}
        speeds.append(speed | _placed(executable))
        layers[name] = _layers(graph, run)
    report = {
        # Those of the first target; each target has its own beside its throughput.
        "layers": next(iter(layers.values()), []),
        "targets": [{**speed, "layers": layers[speed["target"]]} for speed in speeds],
    }
    shown = [{key: speed[key] for key in ("target", "ran_on", "samples_per_s")} for speed in speeds]
    rows = [{"target": name, **row} for name, found in layers.items() for row in found]
    emit(form, report, rows, shown)


def _placed(executable: Any) -> dict[str, Any]:
    """Of onnx, the nodes of each operator that each provider runs."""
    return {"placement": executable.placement()} if hasattr(executable, "placement") else {}


def _available() -> list[str]:
    import targets

    found = []
    for name in targets.names():
        reason = targets.find(name).unavailable()
        if reason:
            say(f"{name} is left out: {reason}")
        else:
            found.append(name)
    return found


def _layers(graph: SpikingGraph, run: Run) -> list[dict[str, Any]]:
    """Spikes and synaptic operations a sample; operations count where they arrive."""
    import math

    from cost_models.activity import activity

    found = activity(graph, run)
    return [
        {
            "node": name,
            "neurons": math.prod(graph.shapes[name]),
            "spikes": found.spikes[name],
            "synops": found.synops_into(name),
        }
        for name in graph.populations
    ]

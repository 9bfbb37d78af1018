"""Input of a network for the verbs that run one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data import DataConfig, configured, is_recorded
from msenas_hw.data.npz import arrays
from msenas_hw.search.folder import run_of
from msenas_hw.space.notes import encoding_of, steps_of
from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph


@dataclass(frozen=True, eq=False)
class Given:
    """Encoded samples: `x` [T, B, *input_shape] float32 and `labels` [B]."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_inputs(
    model: Path,
    graph: SpikingGraph,
    data: str | None,
    encoding: str | None,
    steps: int | None,
    split: str,
    samples: int,
    steps_option: str = "--steps",
) -> Given:
    """Samples for a model: from `--data`, or from the configuration of the run that the model lies in.

    Encoding and steps are those asked for; else what an NPZ of recordings, [T, *input shape of the network],
    holds; else those that the network was trained on (`msenas_hw.space.notes`); else the run's.

    Args:
        steps_option: how the verb calls `steps`.

    Raises:
        ConfigError: the data or the number of steps is not given, or an option is not allowed.
        DataError: the data do not suit the network.
    """
    run = run_of(model)
    if data is None and run is None:
        raise ConfigError(f"{model}: lies in no run folder; give --data NAME|FILE.npz and {steps_option}")
    section, shape = run.config.data if run else DataConfig(), _input_shape(graph)
    if run is None or (data is not None and data != section.name):
        section = DataConfig(name=data or section.name, validation=section.validation)
        recorded = recorded_steps(section.name, shape)
        events = recorded is not None or is_recorded(section.name)
        encoding = encoding or ("events" if events else encoding_of(graph) or "rate")
        steps = steps or recorded
    steps = steps or steps_of(graph)
    if steps is None and run is None:
        raise ConfigError(f"--data outside a run folder needs {steps_option}, the time steps of a sample")
    given = {"encoding": encoding or section.encoding, "steps": steps or section.steps}
    section = section.model_copy(update=given)
    found = configured(section)
    x, labels = found.inputs(split, section.encoding, section.steps, samples)
    return Given(_shaped(found.name, x, shape), labels)


def _input_shape(graph: SpikingGraph) -> tuple[int, ...]:
    if len(graph.inputs) != 1:
        raise DataError(f"the network has {len(graph.inputs)} Input nodes, allowed 1")
    return tuple(graph.shapes[graph.inputs[0]])


def recorded_steps(data: str, shape: tuple[int, ...]) -> int | None:
    """Steps of an NPZ whose samples are recordings of the network's input, [N, T, *shape]; else None."""
    path = Path(data)
    if path.suffix != ".npz" or not path.is_file():
        return None
    found = tuple(arrays(path)["x"].shape)
    if 0 in found:
        raise DataError(f"{path}: x has shape {found}; allowed at least 1 along each axis")
    return found[1] if len(found) == len(shape) + 2 and found[2:] == shape else None


def _shaped(name: str, x: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """`x` in the network's input shape: axes of 1 are free, and a flat Input takes any sample of its size."""
    found = x.shape[2:]
    same = [n for n in found if n > 1] == [n for n in shape if n > 1]
    if not same and not (len(shape) == 1 and math.prod(found) == shape[0]):
        raise DataError(f"data {name!r} have samples of shape {found}, the network takes {shape}")
    return x.reshape(*x.shape[:2], *shape)

"""A lowered program as one `.npz` file: arrays, a JSON header, and the graph's own `.nir` bytes."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from targets.errors import GraphError
from targets.files import replacing
from targets.graph.reader import AssumptionWarning
from targets.graph.reader import load as load_graph
from targets.graph.writer import save as save_graph
from targets.loihi.program import FixedHop, FixedPopulation, LoweredRow, Program

_FORMAT = "msenas-hw loihi program 2"
_POPULATION_KEYS = ("name", "shape", "du", "dv", "vth", "offset", "subtract")
_HOP_KEYS = ("source", "target", "exponent", "delay", "axonal_delay", "sign", "convolution")


def save_program(program: Program, path: str | os.PathLike[str]) -> None:
    """Write `program`; nothing half-written is left on an error."""
    arrays: dict[str, Any] = {"graph": _graph_bytes(program)}
    populations: list[dict[str, Any]] = []
    hops: list[dict[str, Any]] = []
    for i, population in enumerate(program.populations):
        arrays[f"population{i}_bias_u"] = population.bias_u
        arrays[f"population{i}_bias_v"] = population.bias_v
        populations.append({key: _plain(getattr(population, key)) for key in _POPULATION_KEYS})
    for i, hop in enumerate(program.hops):
        for part in ("data", "indices", "indptr"):
            arrays[f"hop{i}_{part}"] = getattr(hop.matrix, part)
        if hop.kernel is not None:
            arrays[f"hop{i}_kernel"] = hop.kernel
        hops.append({key: getattr(hop, key) for key in _HOP_KEYS} | {"shape": hop.matrix.shape})
    header = {
        "format": _FORMAT,
        "populations": populations,
        "hops": hops,
        "inputs": program.inputs,
        "outputs": program.outputs,
        "drain": program.drain,
        "table": [asdict(row) for row in program.table],
    }
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read a program written by `save_program`; GraphError where it is none."""
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        header = json.loads(str(arrays["header"]))
        if header["format"] != _FORMAT:
            raise GraphError(f"{path}: format {header['format']!r}, allowed {_FORMAT!r}")
        return _program(header, arrays)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise GraphError(f"{path}: not a lowered program: {error}") from None


def _program(header: dict[str, Any], arrays: dict[str, Any]) -> Program:
    populations = tuple(
        FixedPopulation(
            **fields | {"shape": tuple(fields["shape"])} | {key: _decay(fields[key]) for key in ("du", "dv")},
            bias_u=arrays[f"population{i}_bias_u"],
            bias_v=arrays[f"population{i}_bias_v"],
        )
        for i, fields in enumerate(header["populations"])
    )
    hops = []
    for i, fields in enumerate(header["hops"]):
        parts = tuple(arrays[f"hop{i}_{part}"] for part in ("data", "indices", "indptr"))
        matrix = csr_matrix(parts, shape=tuple(fields.pop("shape")))
        hops.append(FixedHop(**fields, matrix=matrix, kernel=arrays.get(f"hop{i}_kernel")))
    return Program(
        graph=_graph(arrays["graph"]),
        populations=populations,
        hops=tuple(hops),
        inputs={name: tuple(shape) for name, shape in header["inputs"].items()},
        outputs=header["outputs"],
        drain=header["drain"],
        table=tuple(LoweredRow(**row) for row in header["table"]),
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _decay(value: int | list[int]) -> Any:
    return np.array(value, np.int64) if isinstance(value, list) else value


def _graph_bytes(program: Program) -> np.ndarray[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.nir"
        save_graph(program.graph, path)
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def _graph(raw: np.ndarray[Any, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        path = Path(folder) / "graph.nir"
        path.write_bytes(raw.tobytes())
        return load_graph(path)

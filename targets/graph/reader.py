"""Read a `.nir` file (HDF5) of any version into a SpikingGraph, stating what the file leaves open."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.cycles import delay_cycles
from targets.graph.graph import Edge, SpikingGraph
from targets.graph.kinds import POPULATION, kind
from targets.graph.profile import HOUSE, Profile

METADATA_KEY = "msenas_hw"

# Fields of each kind, as files name them; a field with a default may be absent in old files.
_FIELDS: Mapping[type[nir.NIRNode], tuple[str, ...]] = {
    nir.Affine: ("weight", "bias"),
    nir.Linear: ("weight",),
    nir.Conv2d: ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    nir.SumPool2d: ("kernel_size", "stride", "padding"),
    nir.AvgPool2d: ("kernel_size", "stride", "padding"),
    nir.Flatten: ("input_type", "start_dim", "end_dim"),
    nir.Scale: ("scale",),
    nir.Delay: ("delay",),
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LI: ("tau", "r", "v_leak"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    nir.Input: ("shape",),
    nir.Output: ("shape",),
}
_KINDS = {cls.__name__: cls for cls in _FIELDS}
_DEFAULTS: Mapping[str, Any] = {"input_shape": None, "v_reset": None, "w_in": 1.0, "input_type": None}
_INTEGERS = ("stride", "dilation", "kernel_size", "groups", "start_dim", "end_dim", "input_shape")


class AssumptionWarning(UserWarning):
    """A file left something open and the house value was taken."""


def load(path: str | os.PathLike[str], profile: Profile | Mapping[str, Any] | None = None) -> SpikingGraph:
    """Load a `.nir` file.

    Args:
        path: the file.
        profile: values that override what the file says, e.g. `{"dt": 1e-4}`.

    Raises:
        GraphError: not a NIR file, truncated, an unknown node kind, or a malformed graph.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            nodes, edges, version, stored = _read(file, path)
    except OSError as error:
        raise GraphError(f"{path}: cannot be read as a NIR (HDF5) file: {error}") from None
    chosen, assumptions = _profile(stored, profile, version, nodes)
    nodes = _ordered(nodes, stored)
    nodes, edges, delayed = delay_cycles(nodes, edges, chosen.dt)
    assumptions += list(stored.get("assumptions", [])) + delayed
    graph = SpikingGraph.build(nodes, edges, chosen, assumptions)
    for assumption in assumptions:
        warnings.warn(f"{path.name}: {assumption}", AssumptionWarning, stacklevel=2)
    return graph


def _read(file: h5py.File, path: Path) -> tuple[dict[str, nir.NIRNode], list[Edge], str, Mapping[str, Any]]:
    root = file.get("node")
    if not isinstance(root, h5py.Group) or "nodes" not in root or "edges" not in root:
        raise GraphError(f"{path}: no NIR graph inside (needs /node/nodes and /node/edges); is it truncated?")
    edges = [(_text(a), _text(b)) for a, b in root["edges"][()]]
    nodes = {name: _read_node(name, group) for name, group in root["nodes"].items()}
    version = _text(file["version"][()]) if "version" in file else "unknown"
    raw = root["metadata"].get(METADATA_KEY) if "metadata" in root else None
    return nodes, edges, version, _stored(raw, path)


def _stored(raw: Any, path: Path) -> Mapping[str, Any]:
    if raw is None:
        return {}
    try:
        stored = json.loads(_text(raw[()]))
    except ValueError:
        raise GraphError(f"{path}: metadata {METADATA_KEY!r} is no valid JSON") from None
    if not isinstance(stored, dict):
        raise GraphError(f"{path}: metadata {METADATA_KEY!r} is no JSON object")
    return stored


def _read_node(name: str, group: Any) -> nir.NIRNode:
    found = _text(group["type"][()]) if isinstance(group, h5py.Group) and "type" in group else None
    cls = _KINDS.get(found or "")
    if cls is None:
        allowed = ", ".join(sorted(_KINDS))
        raise GraphError(f"node {name!r}: kind {found!r} is not known, allowed {allowed}")
    values = {field: _field(name, cls, group, field) for field in _FIELDS[cls]}
    metadata = (
        {key: _plain(item[()]) for key, item in group["metadata"].items()} if "metadata" in group else {}
    )
    try:
        return _construct(cls, values, metadata)
    except Exception as error:  # nir's constructors raise whatever their arithmetic meets
        raise GraphError(f"node {name!r} ({found}): {error}") from None


def _construct(cls: type[nir.NIRNode], values: dict[str, Any], metadata: dict[str, Any]) -> nir.NIRNode:
    if cls in (nir.Input, nir.Output):
        port = "input" if cls is nir.Input else "output"
        return cls({port: np.asarray(values["shape"]).reshape(-1)}, metadata=metadata)
    if cls is nir.Flatten:
        return cls({"input": values.pop("input_type")}, **values, metadata=metadata)
    if cls in (nir.CubaLIF, nir.CubaLI) and np.ndim(values["w_in"]) == 0:
        values["w_in"] = np.full_like(np.asarray(values["v_leak"], dtype=np.float64), values["w_in"])
    return cls(**values, metadata=metadata)


def _field(name: str, cls: type[nir.NIRNode], group: h5py.Group, field: str) -> Any:
    item = group.get(field)
    if not isinstance(item, h5py.Dataset):
        if field in _DEFAULTS:
            return _DEFAULTS[field]
        raise GraphError(f"node {name!r} ({cls.__name__}): field {field!r} is missing")
    value = _plain(item[()])
    if field in _INTEGERS and not isinstance(value, str):
        whole = [int(v) for v in np.asarray(value).reshape(-1)]
        return whole[0] if np.ndim(value) == 0 else tuple(whole)
    return value


def _text(value: Any) -> str:
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def _profile(
    stored: Mapping[str, Any],
    given: Profile | Mapping[str, Any] | None,
    version: str,
    nodes: Mapping[str, nir.NIRNode],
) -> tuple[Profile, list[str]]:
    if isinstance(given, Profile):
        return given, []
    given = given or {}
    said = stored.get("profile")
    profile = HOUSE.with_values(said or {}).with_values(given)
    if said is not None or not any(isinstance(node, POPULATION) for node in nodes.values()):
        return profile, []
    assumed = [
        f"profile {key} = {getattr(profile, key)!r} is assumed; the file does not say"
        for key in ("integrator", "reset", "comparison", "spikes_per_step")
        if key not in given
    ]
    if _older(version, (1, 0, 6)) and "reset" not in given:
        assumed.append(
            f"the reset is ambiguous: the file was written by nir {version}, which documented reset by "
            "subtraction, while the recordings of the NIR paper reset to zero; give --profile reset=..."
        )
    return profile, assumed


def _older(version: str, than: tuple[int, ...]) -> bool:
    parts = version.split(".")
    if not all(part.isdigit() for part in parts[:3]):
        return True
    return tuple(int(part) for part in parts[:3]) < than


def _ordered(nodes: dict[str, nir.NIRNode], stored: Mapping[str, Any]) -> dict[str, nir.NIRNode]:
    """HDF5 lists names alphabetically; the order of writing is in the metadata."""
    order = stored.get("order", [])
    if sorted(order) != sorted(nodes):
        return nodes
    return {name: nodes[name] for name in order}


def node_fields(node: nir.NIRNode) -> dict[str, Any]:
    """The fields of `node` that a file stores, ports aside."""
    if kind(node) in ("Input", "Output"):
        return {}
    return {field: getattr(node, field) for field in _FIELDS[type(node)]}

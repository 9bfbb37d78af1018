"""Read a `.nir` file (HDF5) of any version into a SpikingGraph, stating what the file leaves open."""

from __future__ import annotations

import json
import mmap
import os
import struct
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nir
import numpy as np

from targets.errors import ConfigError, GraphError
from targets.graph.cycles import delay_cycles
from targets.graph.fields import FIELDS, complete, construct
from targets.graph.flatten import Flat, Nested, flatten
from targets.graph.graph import SpikingGraph
from targets.graph.hdf5 import Group, Link, NewerLayoutError, Storage
from targets.graph.kinds import POPULATION
from targets.graph.neighbours import give_shapes, name_shape_faults
from targets.graph.profile import HOUSE, Profile
from targets.graph.repack import repacked
from targets.graph.shapes import Filler
from targets.graph.writers import resolve

METADATA_KEY = "msenas_hw"
_KINDS = {cls.__name__: cls for cls in FIELDS}
_DEPTH = 64
# Bytes of metadata that are kept of one file.
_NOTES_LIMIT = 2**24
# Larger files are mapped, not copied into memory.
_MAPPED = 2**26

# What damaged structures raise on the way through.
_DAMAGE = (GraphError, struct.error, ValueError, IndexError, KeyError, OverflowError, MemoryError)


class AssumptionWarning(UserWarning):
    """A file left something open and the house value was taken."""


def load(
    path: str | os.PathLike[str], profile: str | Profile | Mapping[str, Any] | None = None
) -> SpikingGraph:
    """Load a `.nir` file.

    Args:
        path: the file.
        profile: values that override what the file says, e.g. `{"dt": 1e-4}`; or the name of the
            framework that wrote the file, "sinabs" or `{"writer": "sinabs", "clip": None}`
            (`targets.graph.writers`).

    Raises:
        ConfigError: an unknown profile or value.
        GraphError: not a NIR file, truncated, hostile, an unknown node kind, or a malformed graph; it
            names the file and, where there is one, the node and the field.
    """
    path = Path(path)
    try:
        graph = _graph(_read(path), profile)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error}") from None
    for assumption in graph.assumptions:
        warnings.warn(f"{path.name}: {assumption}", AssumptionWarning, stacklevel=2)
    return graph


@dataclass(frozen=True)
class _File:
    graph: Nested
    said: list[str]
    version: str
    stored: Mapping[str, Any]
    fill: Filler


def _graph(file: _File, profile: str | Profile | Mapping[str, Any] | None) -> SpikingGraph:
    given, writer = resolve(profile)
    flat = flatten(file.graph)
    nodes, guessed = give_shapes(_ordered(flat, file.stored), flat.edges, file.fill)
    chosen, assumptions = _profile(file.stored, given, file.version, nodes)
    if writer is not None:
        nodes, rewritten = writer.read(nodes, chosen, file.stored)
        assumptions += rewritten
    nodes, edges, delayed = delay_cycles(nodes, flat.edges, chosen.dt, file.fill)
    graph = SpikingGraph.build(nodes, edges, chosen, metadata=flat.metadata)
    assumptions += [*file.said, *flat.said, *guessed, *delayed, *name_shape_faults(graph, flat.ports)]
    kept = _sentences(file.stored)
    new = [said for said in dict.fromkeys(assumptions) if said not in kept]
    return replace(graph, assumptions=(*kept, *new))


def _read(path: Path) -> _File:
    if path.exists() and not path.is_file():
        raise GraphError("is no regular file")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _MAPPED:
                return _parse(file.read())
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(data)
    except NewerLayoutError:
        return _parse(repacked(path), quoted=True)


def _parse(data: Any, quoted: bool = False) -> _File:
    with _damage(""):
        storage = Storage(data, quoted)
        top = storage.group(storage.root) or {}
        root = storage.group(top["node"]) if "node" in top else None
    if root is None or "nodes" not in root or "edges" not in root:
        raise GraphError("no NIR graph inside (needs /node/nodes and /node/edges); is it truncated?")
    said: list[str] = []
    reader = _Reader(storage, said)
    graph = reader.graph(root, "", 0)
    with _damage("version: "):
        version = str(storage.value(top["version"])) if "version" in top else "unknown"
    with _damage("metadata: "):
        metadata = storage.group(root["metadata"]) if "metadata" in root else None
        raw = storage.value(metadata[METADATA_KEY]) if metadata and METADATA_KEY in metadata else None
    return _File(graph, said, version, _stored(raw), reader.fill)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    """Errors of damaged structures as a GraphError that says where."""
    try:
        yield
    except NewerLayoutError:
        raise
    except GraphError as error:
        raise GraphError(f"{where}{error}") from None
    except _DAMAGE as error:
        raise GraphError(f"{where}damaged or truncated HDF5 structure ({error})") from None


class _Reader:
    """Nodes out of the groups of a file."""

    def __init__(self, storage: Storage, said: list[str]) -> None:
        self.storage = storage
        self.said = said
        # A group that stands in two places would make a small file an endless graph.
        self.seen: set[int] = set()
        self.room = _NOTES_LIMIT
        self.fill = Filler()

    def graph(self, group: Group, prefix: str, depth: int) -> Nested:
        """A graph and, nested in it, its subgraphs."""
        if depth > _DEPTH:
            raise GraphError(f"subgraph {prefix[:80]!r} is nested more than {_DEPTH} deep")
        if "nodes" not in group or "edges" not in group:
            raise GraphError(f"subgraph {prefix[:-1]!r}: needs nodes and edges; is it truncated?")
        where = f"graph {prefix[:-1]!r}: " if prefix else ""
        with _damage(f"{where}edges: "):
            ends = self.storage.value(group["edges"])
            ends = np.asarray(ends).reshape(-1).tolist()
        if len(ends) % 2 or not all(isinstance(end, str) for end in ends):
            raise GraphError(f"{where}edges: found {len(ends)} values, allowed pairs of names")
        with _damage(f"{where}nodes: "):
            links = self.storage.group(group["nodes"])
        if links is None:
            raise GraphError(f"{where}nodes: found a data set, allowed a group")
        nodes = {name: self.node(prefix + name, link, depth) for name, link in links.items()}
        notes = self.notes(where, group, () if prefix else (METADATA_KEY,))
        return Nested(nodes, list(zip(ends[::2], ends[1::2], strict=True)), notes)

    def node(self, name: str, link: Link, depth: int) -> nir.NIRNode | Nested:
        """One node, or a subgraph."""
        if link[0] in self.seen:
            raise GraphError(f"node {name!r}: the same object stands at two places, allowed one")
        self.seen.add(link[0])
        group, found = self._kind(name, link)
        cls = _KINDS.get(found or "")
        if found == "NIRGraph" and group:
            return self.graph(group, f"{name}.", depth + 1)
        if cls is None or group is None:
            allowed = ", ".join(sorted([*_KINDS, "NIRGraph"]))
            raise GraphError(f"node {name!r}: kind {str(found)[:80]!r} is not known, allowed {allowed}")
        values = {}
        for field in FIELDS[cls]:
            if field in group:
                values[field] = self._value(name, cls, field, group[field])
        notes = self.notes(f"node {name!r} ({cls.__name__}): ", group)
        return construct(name, cls, complete(name, cls, values, self.said, self.fill), notes)

    def _kind(self, name: str, link: Link) -> tuple[Group | None, str | None]:
        with_type = False
        try:
            group = self.storage.group(link)
            with_type = group is not None and "type" in group
            found = self.storage.value(group["type"]) if group is not None and with_type else None
        except NewerLayoutError:
            raise
        except _DAMAGE as error:
            field = "field 'type': " if with_type else ""
            raise GraphError(f"node {name!r}: {field}{error}") from None
        return group, found if isinstance(found, str) else None

    def _value(self, name: str, cls: type[nir.NIRNode], field: str, link: Link) -> Any:
        # Not a context manager: this runs for every field of every node.
        try:
            return self.storage.value(link)
        except NewerLayoutError:
            raise
        except _DAMAGE as error:
            raise GraphError(f"node {name!r} ({cls.__name__}): field {field!r}: {error}") from None

    def notes(self, where: str, group: Group, others: Collection[str] = ()) -> dict[str, Any]:
        """The metadata in `group` but `others`: kept, never interpreted. What cannot be is said."""
        if "metadata" not in group:
            return {}
        with _damage(f"{where}metadata: "):
            items = self.storage.group(group["metadata"])
        if items is None:
            self.said.append(f"{where}metadata was left out: found a data set, allowed a group")
            return {}
        return self._notes(f"{where}metadata", {k: v for k, v in items.items() if k not in others}, 0)

    def _notes(self, where: str, items: Group, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, link in items.items():
            try:
                found[key] = self._note(f"{where}/{key}", key, link, depth)
            except NewerLayoutError:
                raise
            except _DAMAGE as error:
                self.said.append(f"{where}/{key[:80]} was left out: {error}")
        return found

    def _note(self, where: str, key: str, link: Link, depth: int) -> Any:
        """A value, or a dictionary of them. GraphError where nir could not write it, or it is too large."""
        if not key or key == "." or "/" in key:
            raise GraphError("no file can hold this name")
        items = self.storage.group(link)
        if items is not None:
            if link[0] in self.seen or depth >= _DEPTH:
                raise GraphError(f"the same group stands at two places, or {_DEPTH} deep")
            self.seen.add(link[0])
            return self._notes(where, items, depth + 1)
        if key == "metadata":
            raise GraphError("nir writes groups only under this name")
        size = self.storage.value_bytes(link)
        if size > self.room:
            raise GraphError(f"more than {_NOTES_LIMIT} bytes of metadata")
        self.room -= size
        value = self.storage.value(link)
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise GraphError("text with a NUL, which no file can hold")
        return value.item() if isinstance(value, np.generic) else value


def _stored(raw: Any) -> Mapping[str, Any]:
    if raw is None:
        return {}
    try:
        stored = json.loads(raw)
    except (ValueError, TypeError, RecursionError):
        raise GraphError(f"metadata {METADATA_KEY!r} is no valid JSON") from None
    if not isinstance(stored, dict):
        raise GraphError(f"metadata {METADATA_KEY!r} is no JSON object")
    return stored


def _sentences(stored: Mapping[str, Any]) -> list[str]:
    found = stored.get("assumptions", [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise GraphError(f"metadata {METADATA_KEY!r}: assumptions is no list of sentences")
    return list(found)


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
    profile = _said_profile(said).with_values(given)
    if said is not None or not any(isinstance(node, POPULATION) for node in nodes.values()):
        return profile, []
    assumed = [
        f"profile {key} = {getattr(profile, key)!r} is assumed; the file does not say"
        for key in ("integrator", "reset", "comparison", "spikes_per_step")
        if key not in given
    ]
    if _older(version, (1, 0, 6)) and "reset" not in given:
        assumed.append(
            f"the reset is ambiguous: the file was written by nir {version[:40]}, which documented reset by "
            "subtraction, while the recordings of the NIR paper reset to zero; give --profile reset=..."
        )
    return profile, assumed


def _said_profile(said: Any) -> Profile:
    """What a file says; a wrong value there is the file's fault, not the user's."""
    if not isinstance(said or {}, dict):
        raise GraphError(f"metadata {METADATA_KEY!r}: profile is no JSON object")
    try:
        return HOUSE.with_values(said or {})
    except (ConfigError, TypeError, ValueError) as error:
        raise GraphError(f"metadata {METADATA_KEY!r}: {error}") from None


def _older(version: str, than: tuple[int, ...]) -> bool:
    parts = version.split(".")[:3]
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        return True
    return tuple(int(part) for part in parts) < than


def _ordered(flat: Flat, stored: Mapping[str, Any]) -> dict[str, nir.NIRNode]:
    """HDF5 lists names alphabetically; the order of writing is in the metadata."""
    order = stored.get("order")
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        return flat.nodes
    if len(order) != len(flat.nodes) or set(order) != set(flat.nodes):
        return flat.nodes
    return {name: flat.nodes[name] for name in order}

"""The bounded HDF5 reader against h5py, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

import targets
from targets import GraphError
from targets.graph.hdf5 import Link, NewerLayoutError, Storage


def walk(storage: Storage, link: Link, path: str = "") -> Iterator[tuple[str, Any]]:
    group = storage.group(link)
    if group is None:
        yield path, storage.value(link)
        return
    for name, inner in group.items():
        yield from walk(storage, inner, f"{path}/{name}")


def oracle(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[f"/{name}"] = item[()]

        file.visititems(visit)
    return found


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, bytes):
        assert found == expected.decode()
    elif expected.dtype.kind in "OS":
        assert found == [item.decode() for item in expected.ravel()]
    else:
        np.testing.assert_array_equal(found, expected, strict=expected.dtype.isnative and expected.ndim > 0)


def every_type(file: h5py.File) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8", "?"):
        file[f"plain/{dtype}"] = (rng.normal(size=(3, 4)) * 9).astype(dtype)
        file[f"scalar/{dtype}"] = np.array(1).astype(dtype)
    packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    file.create_dataset("chunks/all", data=rng.normal(size=(10, 33)), chunks=(3, 7), **packed)
    file.create_dataset("chunks/none", data=np.arange(10), chunks=(4,))
    file.create_dataset("chunks/bool", data=np.eye(3) > 0, compression="gzip")
    file["empty"] = np.zeros((0, 3))
    file["text"] = "été"
    file["texts"] = ["a", "", "bb"]
    file["fixed"] = np.array([b"ab", b"c"])
    for i in range(300):
        file[f"many/{i}"] = i
    file["few/τ"] = 1.5


def test_every_type_and_layout_against_h5py(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        every_type(file)
    storage = Storage(path.read_bytes())
    found, expected = dict(walk(storage, storage.root)), oracle(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_equal(found[name], value)


def test_the_real_graphs_against_h5py(shared: Path) -> None:
    for path in sorted((shared / "nir").glob("*.nir")):
        storage = Storage(path.read_bytes())
        found, expected = dict(walk(storage, storage.root)), oracle(path)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_equal(found[name], value)


def soft(file: h5py.File) -> None:
    file["node/nodes/loop"] = h5py.SoftLink("/node")


def external_link(file: h5py.File) -> None:
    file["node/nodes/other"] = h5py.ExternalLink("/etc/passwd", "/")


def hard_cycle(file: h5py.File) -> None:
    file["node/nodes/again"] = file["node"]


def external_data(file: h5py.File) -> None:
    del file["node/nodes/scale/scale"]
    file["node/nodes/scale"].create_dataset("scale", (3,), "f8", external=[("/etc/passwd", 0, 24)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(3,))
    del file["node/nodes/scale/scale"]
    file["node/nodes/scale"].create_virtual_dataset("scale", layout)


def replaced(data: Any, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["node/nodes/scale/scale"]
        file["node/nodes/scale"].create_dataset("scale", data=data, **options)

    return change


def declared(**options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["node/nodes/scale/scale"]
        file["node/nodes/scale"].create_dataset("scale", **{"shape": (3,), "dtype": "f8", **options})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (soft, "'loop' is a soft or external link"),
        (external_link, "soft or external link"),
        (hard_cycle, "node 'again.again': the same object stands at two places"),
        (external_data, "field 'scale': its data lie in another file"),
        (virtual, "(virtual|another file)"),
        (replaced(np.zeros(2, [("a", "f4"), ("b", "i4")])), "field 'scale': data of type compound"),
        (declared(dtype=h5py.ref_dtype), "data of type reference"),
        (replaced(np.zeros(2, np.complex64)), "data of type"),
        (replaced("text"), "field 'scale' holds text"),
        (replaced(h5py.Empty("f8")), "empty"),
        (declared(shape=(2**40,)), "which the file does not hold"),
        (declared(shape=(2**30, 2**30), chunks=(8, 8)), "which the file does not hold"),
        (declared(shape=(4096, 4096), chunks=(64, 64), compression="gzip"), "which the file does not hold"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    path = scale_file(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(GraphError, match=f"m.nir.*{message}"):
        targets.load(path)


def scale_file(folder: Path) -> Path:
    path = folder / "m.nir"
    nodes = {
        "in": nir.Input(np.array([3])),
        "scale": nir.Scale(np.arange(3.0)),
        "out": nir.Output(np.array([3])),
    }
    nir.write(path, nir.NIRGraph(nodes, [("in", "scale"), ("scale", "out")]))
    return path


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = scale_file(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/scale/scale"]
        # 64 MB in one chunk that deflates to 64 kB.
        bomb = file["node/nodes/scale"].create_dataset(
            "scale", (2**23,), "f8", chunks=(2**23,), compression="gzip"
        )
        bomb.id.write_direct_chunk((0,), b"\x78\x9c" + b"\0" * 2**17)
    with pytest.raises(GraphError, match="compressed data are damaged"):
        targets.load(path)


def test_packed_data_are_bounded_beyond_what_deflate_gains(tmp_path: Path) -> None:
    path = scale_file(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/scale/scale"]
        # A quarter of a gigabyte of zeros in a quarter of a megabyte.
        file["node/nodes/scale"].create_dataset(
            "scale", data=np.zeros(2**28, "i1"), chunks=(2**26,), compression="gzip"
        )
    assert path.stat().st_size < 2**20
    with pytest.raises(GraphError, match=r"field 'scale': .* grow beyond all bounds"):
        targets.load(path)


def test_newer_layouts_are_rewritten_in_a_child(tmp_path: Path) -> None:
    old, new = scale_file(tmp_path), tmp_path / "new.nir"
    with h5py.File(old) as source, h5py.File(new, "w", libver="latest") as target:
        source.copy("node", target)
        source.copy("version", target)
        for i in range(12):
            target[f"node/metadata/τ{i}"] = i
    with pytest.raises(NewerLayoutError):
        Storage(new.read_bytes())
    graph = targets.load(new)
    np.testing.assert_array_equal(graph.nodes["scale"].scale, np.arange(3.0))
    with h5py.File(new, "r+") as file:
        file["node/other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(GraphError, match=r"new\.nir.*soft or external link"):
        targets.load(new)

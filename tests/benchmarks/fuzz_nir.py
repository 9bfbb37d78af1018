"""Load damaged `.nir` files by the ten thousand: no crash, no hang, no unbounded memory.

    python tests/benchmarks/fuzz_nir.py --files 100000 --seed 0

Half of them are damaged in their bytes; in the other half the structure is changed first: objects removed,
linked elsewhere or renamed, values and kinds exchanged, edges rewired; every third of those in its bytes
as well. Prints JSON: how many files loaded and were refused, the slowest load, the peak memory of the
process, and every error that is not a GraphError. Exit code 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

import targets

SECONDS_LIMIT = 2.0
MEMORY_LIMIT_MB = 1000
# Numbers that break readers: off by one, sign bits, undefined addresses, huge sizes.
ODD = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 8, 2**64 - 1)


def seeds(folder: Path | None) -> list[bytes]:
    """Files to damage: every node kind, a subgraph, compressed and not, and those of `folder`."""
    found = [_written(_every_kind(), None), _written(_every_kind(), "gzip"), _written(_nested(), None)]
    for path in sorted(folder.glob("*.nir")) if folder else []:
        found.append(path.read_bytes())
    return found


def _written(graph: nir.NIRGraph, compression: str | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.nir"
        nir.write(path, graph, compression=compression)
        return path.read_bytes()


def _every_kind() -> nir.NIRGraph:
    one, line = np.ones((2, 3, 3)), np.ones(4)
    chain = {
        "in": nir.Input(np.array([1, 6, 6])),
        "conv": nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), 2, 1, 1, 1, np.ones(2)),
        "if": nir.IF(one, one),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        "avg": nir.AvgPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 1, 1])}, 0, -1),
        "affine": nir.Affine(np.ones((4, 2)), line),
        "cubalif": nir.CubaLIF(line, line, line, line, line, line, metadata={"sign": "inhibitory"}),
        "delay": nir.Delay(line * 1e-3),
        "cubali": nir.CubaLI(line, line, line, line),
        "scale": nir.Scale(line),
        "lif": nir.LIF(line, line, line, line),
        "threshold": nir.Threshold(line),
        "i": nir.I(line),
        "linear": nir.Linear(np.ones((4, 4))),
        "li": nir.LI(line, line, line),
        "out": nir.Output(np.array([4])),
    }
    names = list(chain)
    edges = [*itertools.pairwise(names), ("lif", "linear"), ("linear", "linear")]
    return nir.NIRGraph(chain, edges, type_check=False)


def _nested() -> nir.NIRGraph:
    ends = {"in": nir.Input(np.array([4])), "out": nir.Output(np.array([4]))}
    inner = nir.NIRGraph(
        {**ends, "lif": nir.LIF(*[np.ones(4)] * 4), "w": nir.Affine(np.eye(4), np.ones(4))},
        [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")],
        type_check=False,
    )
    outer = {**ends, "sub": inner, "w": nir.Linear(np.eye(4))}
    return nir.NIRGraph(outer, [("in", "w"), ("w", "sub"), ("sub", "out")], type_check=False)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to a dozen faults: flipped bytes, odd numbers, moved or zeroed pieces, cuts."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 13))):
        at = int(rng.integers(0, len(changed)))
        fault = rng.integers(0, 12)
        if fault < 5:
            changed[at] = int(rng.integers(0, 256))
        elif fault < 9:
            at -= at % 8
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(ODD[rng.integers(len(ODD))]) % 256**width
            changed[at : at + width] = number.to_bytes(width, "little")
        elif fault == 9:
            length, other = int(rng.integers(1, 65)), int(rng.integers(0, len(changed)))
            piece = changed[other : other + length]
            changed[at : at + len(piece)] = piece
        elif fault == 10:
            length = int(rng.integers(1, 65))
            changed[at : at + length] = bytes(len(changed[at : at + length]))
        elif rng.random() < 0.2:
            del changed[max(at, 100) :]
    return bytes(changed)


KINDS = ("NIRGraph", "Input", "Output", "Conv2d", "Conv1d", "LIF", "Affine", "Flatten", "Delay", "Sigmoid")
NAMES = ("out", "gone", "sub.in", "a.b", ".", "..", "", "x" * 2000, "\u03c4 \u200b", "lif.lif")
VALUES: tuple[Any, ...] = (
    0, -1, math.nan, math.inf, 2**62, 1e308, True, "text", "", ["a", "b"], h5py.Empty("f4"), np.zeros(0),
    np.zeros((0, 3)), np.ones((2, 3, 4, 5)), np.full(4, 2**40), np.full(3, -7), np.arange(4) * 1e-3,
    np.ones((4, 4), "f2"), np.zeros(2, [("a", "i4")]), np.arange(3, dtype=">i8"),
)  # fmt: skip


def restructured(data: bytes, rng: np.random.Generator) -> bytes:
    """`data`, a sound file, with one to six changes of its structure."""
    with h5py.File.in_memory(file_image=data) as file:
        for _ in range(int(rng.integers(1, 7))):
            places: list[str] = []
            file.visit(places.append)
            try:
                _CHANGES[rng.integers(len(_CHANGES))](file, str(rng.choice(places)), rng)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RuntimeError):
                # The change does not apply to this place, or not any more.
                continue
        file.flush()
        return bytes(file.id.get_file_image())


def _remove(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    del file[place]


def _exchange(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    del file[place]
    file[place] = VALUES[rng.integers(len(VALUES))]


def _retype(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    node = place if isinstance(file[place], h5py.Group) else place.rpartition("/")[0]
    del file[f"{node}/type"]
    file[f"{node}/type"] = str(rng.choice(KINDS))


def _rename(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    file.move(place, f"{place.rpartition('/')[0]}/{rng.choice(NAMES)}")


def _link(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    groups = ["node"]
    file.visititems(lambda name, item: groups.append(name) if isinstance(item, h5py.Group) else None)
    links = (file[place], h5py.SoftLink(f"/{place}"), h5py.ExternalLink("/etc/hostname", "/node"))
    file[f"{rng.choice(groups)}/n{rng.integers(100)}"] = links[rng.choice(3, p=(0.8, 0.1, 0.1))]


def _rewire(file: h5py.File, place: str, rng: np.random.Generator) -> None:
    graph = "node/nodes/sub" if "node/nodes/sub" in file and rng.random() < 0.5 else "node"
    ends = [*file[f"{graph}/nodes"], *(NAMES if rng.random() < 0.2 else ())]
    edges = file[f"{graph}/edges"].asstr()[()]
    for i in np.flatnonzero(rng.random(len(edges)) < 0.3):
        edges[i, rng.integers(2)] = str(rng.choice(ends))
    more = rng.choice(ends, (int(rng.integers(3)), 2)).astype(object)
    kept = np.concatenate([edges, more])
    del file[f"{graph}/edges"]
    file.create_dataset(f"{graph}/edges", data=kept, dtype=h5py.string_dtype())


_CHANGES = (_remove, _exchange, _exchange, _retype, _rename, _link, _rewire, _rewire)


def run(files: int, seed: int, folder: Path | None) -> dict[str, Any]:
    """Load `files` damaged files and report."""
    corpus = seeds(folder)
    result: dict[str, Any] = {"files": files, "seed": seed, "loaded": 0, "refused": 0, "unexpected": []}
    slowest = busiest = 0.0
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "m.nir"
        for i in range(files):
            rng = np.random.default_rng([seed, i])
            data = corpus[i // 2 % len(corpus)]
            if i % 2:
                data = restructured(data, rng)
            if i % 2 == 0 or i % 3 == 0:
                data = damaged(data, rng)
            path.write_bytes(data)
            seconds, processor, outcome = _timed(path)
            if outcome in ("loaded", "refused"):
                result[outcome] += 1
            else:
                result["unexpected"].append({"file": i, "error": outcome})
            slowest = max(slowest, seconds)
            if processor > busiest:
                busiest, result["slowest_file"] = processor, i
    result |= {"slowest_s": slowest, "slowest_processor_s": busiest}
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    result["peak_memory_mb"] = max(resource.getrusage(user).ru_maxrss for user in users) / 1024
    return result


def _timed(path: Path) -> tuple[float, float, str]:
    """Seconds of one load by the clock and of the processor, and "loaded", "refused" or a traceback."""
    started, used = time.perf_counter(), _processor()
    try:
        targets.load(path, {"dt": 1e-4})
        outcome = "loaded"
    except targets.GraphError:
        outcome = "refused"
    except Exception:
        outcome = traceback.format_exc(limit=-4)
    return time.perf_counter() - started, _processor() - used, outcome


def _processor() -> float:
    """Processor time of this process and its children, in seconds."""
    return sum(os.times()[:4])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="more .nir files to damage")
    options = parser.parse_args()
    result = run(options.files, options.seed, options.folder)
    json.dump(result, sys.stdout, indent=2)
    # The clock also counts what a busy machine does meanwhile.
    quick = result["slowest_processor_s"] <= SECONDS_LIMIT and result["slowest_s"] <= 5 * SECONDS_LIMIT
    within = quick and result["peak_memory_mb"] <= MEMORY_LIMIT_MB
    return 0 if within and not result["unexpected"] else 1


if __name__ == "__main__":
    sys.exit(main())

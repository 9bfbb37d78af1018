"""Load damaged data files by the ten thousand: no crash, no hang, no unbounded memory, nothing unpickled.

    python tests/benchmarks/fuzz_data.py --files 10000 --seed 0

Miniatures of every set, an NPZ of the user's own and the packed copy in the cache are damaged: one file in
its bytes, cut, or exchanged for another. Half of the published files keep the digest of the sound file, and
must be refused before they are parsed; for the other half the table is given the digest of the damaged file,
so that the parsers see it, every second time damaged inside its archive, which is then packed again. Each
format runs in a process of its own, so that a crash is counted.

Prints JSON: how many files loaded and were refused, crashes, the slowest load in seconds of the processor,
the peak memory, every error that is no DataError or ConfigError, loads of damaged files whose digest was
known, and calls and look-ups that unpickling would make. What waits for ever runs into the time limit of its
process.
Exit code 1 if a limit is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from msenas_hw.data import Binning, load
from msenas_hw.data.loading import loaded
from targets.errors import ConfigError, DataError

SECONDS_LIMIT = 5.0
MEMORY_LIMIT_MB = 1000
ODD = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 8, 2**64 - 1)
OWN, PACKED = "own-npz", "packed"
# What a pickle could make happen.
FORBIDDEN = ("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn")


def _miniatures() -> Any:
    folder = str(Path(__file__).parents[1] / "msenas_hw" / "data")
    sys.path.insert(0, folder)
    try:
        return import_module("miniatures")
    finally:
        sys.path.remove(folder)


MINIATURES = _miniatures()
FORMATS = (*MINIATURES.WRITERS, OWN, PACKED)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to a dozen faults: flipped bytes, odd numbers, moved or zeroed pieces, cuts."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 13))):
        if not changed:
            break
        # Headers and the ends of archives hold what steers a parser.
        ends = (rng.integers(0, len(changed)), rng.integers(0, min(200, len(changed))), -1)
        at = int(ends[rng.integers(3)]) % len(changed)
        fault = int(rng.integers(0, 10))
        if fault < 4:
            changed[at] = int(rng.integers(0, 256))
        elif fault < 7:
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(ODD[rng.integers(len(ODD))]) % 256**width
            order = "little" if rng.random() < 0.7 else "big"
            changed[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        elif fault == 7:
            length, other = int(rng.integers(1, 65)), int(rng.integers(0, len(changed)))
            changed[at : at + length] = changed[other : other + length]
        elif fault == 8:
            changed[at : at + 64] = bytes(len(changed[at : at + 64]))
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def damaged_inside(name: str, data: bytes, rng: np.random.Generator) -> bytes:
    """The same inside of an archive, which is packed again; as `damaged` where it is none."""
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        return bytes(MINIATURES.tarred(_one_member(members, rng)))
    if name.endswith((".zip", ".npz")):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        return bytes(MINIATURES.zipped(_one_member(members, rng)))
    if name.endswith(".gz"):
        return gzip.compress(damaged(gzip.decompress(data), rng), mtime=0)
    return damaged(data, rng)


def _one_member(members: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    """A member damaged, removed, renamed, or given another's content."""
    names = list(members)
    one, other = (names[rng.integers(len(names))] for _ in range(2))
    kind = int(rng.integers(0, 10))
    if kind == 0:
        del members[one]
    elif kind == 1:
        members[str(rng.choice(["../up", "/root", one + "x", "a/b", "", "é\n"]))] = members.pop(one)
    elif kind == 2:
        members[one] = members[other]
    else:
        members[one] = damaged_inside(one, members[one], rng)
    return members


class Subject:
    """One format: a sound copy, and how to load it once one of its files is damaged."""

    def __init__(self, name: str, scratch: Path) -> None:
        self.name, self.scratch = name, scratch
        self.sound, self.broken = scratch / "sound", scratch / "broken"
        self.sound.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        self.source: Any = None
        if name == OWN:
            np.savez_compressed(self.sound / "own.npz", x=np.ones((20, 4, 4)), y=np.arange(20) % 3)
        else:
            self.source = MINIATURES.write("nmnist" if name == PACKED else name, self.sound).source
        if name == PACKED:
            self._load(self.source, self.sound)
            shutil.rmtree(self.sound)
            shutil.copytree(next((scratch / "cache/msenas-hw/packed").iterdir()), self.sound)
        self.files = sorted(path.name for path in self.sound.iterdir())

    def run(self, rng: np.random.Generator, number: int) -> tuple[bool, Callable[[], Any]]:
        """Whether the damaged file must be refused, and its load."""
        shutil.rmtree(self.broken, ignore_errors=True)
        shutil.rmtree(self.scratch / "cache", ignore_errors=True)
        shutil.copytree(self.sound, self.broken)
        name = self.files[rng.integers(len(self.files))]
        path = self.broken / name
        whole = path.read_bytes()
        known = number % 2 == 0 and self.name not in (OWN, PACKED)
        data = damaged_inside(name, whole, rng) if number % 4 == 3 else damaged(whole, rng)
        path.write_bytes(data)
        if self.name == OWN:
            return False, lambda: load(str(path))
        if self.name == PACKED:
            place = self.scratch / "cache/msenas-hw/packed"
            return False, lambda: self._packed(place)
        # The idx files' digests are of what is inside, which damage to a gzip header may leave as it was.
        if known:
            return data != whole and not _same_inside(name, whole, data), lambda: self._load(
                self.source, self.broken
            )
        return False, lambda: self._load(self._patched(name, data), self.broken)

    def _load(self, source: Any, folder: Path | None) -> Any:
        data = loaded(source, 2, folder, Binning(3))
        return [np.asarray(data.part(part)[0]).sum() for part in ("train", "test")]

    def _packed(self, place: Path) -> Any:
        from msenas_hw.data.recordings import fingerprint_of

        fingerprint = fingerprint_of("nmnist", [file.md5 for file in self.source.files])
        place.mkdir(parents=True)
        shutil.copytree(self.broken, place / f"nmnist-{fingerprint}")
        return self._load(self.source, None)

    def _patched(self, name: str, data: bytes) -> Any:
        """The row with the digest of the damaged file: written again, so that its readers know it too."""
        digest = MINIATURES.md5
        inside = data
        if name.endswith("ubyte.gz"):
            with contextlib.suppress(Exception):
                inside = gzip.decompress(data)

        def changed(file: Any) -> Any:
            if file.name != name:
                return file
            return replace(file, md5=digest(inside), size=len(data))

        return MINIATURES.with_files(self.source, [changed(file) for file in self.source.files])


def _same_inside(name: str, whole: bytes, data: bytes) -> bool:
    if not name.endswith("ubyte.gz"):
        return False
    try:
        return gzip.decompress(whole) == gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return False


_SEEN: list[list[str]] = []


@contextlib.contextmanager
def watched(found: list[str]) -> Iterator[None]:
    """Note in `found` what must not happen meanwhile. A hook stays for good, so there is one."""
    if not _SEEN:
        sys.addaudithook(lambda event, _: _SEEN[-1].append(event) if event in FORBIDDEN else None)
    _SEEN.append(found)
    yield
    _SEEN.append([])


def run(name: str, files: int, seed: int) -> dict[str, Any]:
    """Load `files` damaged files of one format and report."""
    result: dict[str, Any] = {
        "files": files, "loaded": 0, "refused": 0, "unverified": 0, "forbidden": [], "unexpected": [],
    }  # fmt: skip
    slowest = 0.0
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(), watched(result["forbidden"]):
        warnings.simplefilter("ignore")
        subject = Subject(name, Path(scratch))
        for i in range(files):
            refuse, action = subject.run(np.random.default_rng([seed, i]), i)
            begin = time.process_time()
            try:
                action()
                result["loaded"] += 1
                result["unverified"] += refuse
            except (DataError, ConfigError):
                result["refused"] += 1
            except Exception:
                result["unexpected"].append({"file": i, "error": traceback.format_exc(limit=-3)})
            slowest = max(slowest, time.process_time() - begin)
    result["slowest_s"] = round(slowest, 3)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def _child(name: str, files: int, seed: int) -> dict[str, Any]:
    """`run` in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--files", str(files), "--seed", str(seed)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60 + SECONDS_LIMIT * files)
    except subprocess.TimeoutExpired:
        return {"files": files, "crashed": "hangs"}
    if ended.returncode < 0 or not ended.stdout:
        return {"files": files, "crashed": f"exit {ended.returncode}: {ended.stderr[-400:]}"}
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def broken_limits(result: dict[str, Any]) -> bool:
    """Whether a format's result breaks a limit."""
    return bool(
        result.get("crashed")
        or result["unexpected"]
        or result["forbidden"]
        or result["unverified"]
        or result["slowest_s"] > SECONDS_LIMIT
        or result["peak_mb"] > MEMORY_LIMIT_MB
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FORMATS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(options.only, options.files, options.seed)))
        return
    each = -(-options.files // len(FORMATS))
    results = {name: _child(name, each, options.seed) for name in FORMATS}
    total = {key: sum(r.get(key, 0) for r in results.values()) for key in ("files", "loaded", "refused")}
    print(json.dumps({"seed": options.seed, **total, "formats": results}, indent=2))
    sys.exit(any(map(broken_limits, results.values())))


if __name__ == "__main__":
    main()

"""Newer HDF5 layouts, rewritten in the oldest one by libhdf5 in a bounded child process.

libhdf5 follows links to other files and may crash on a hostile one, so it never runs in our process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from targets.errors import GraphError

# Of processor time and of memory for a small file, and what a larger one adds for each byte.
_SECONDS, _SECONDS_A_BYTE = 2, 1 / 2**25
_MEMORY, _MEMORY_A_BYTE = 2**30, 4
# Wall time over processor time, for a busy machine.
_PATIENCE = 10

_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[4]),) * 2)
import h5py
from urllib.parse import quote

def copy(source, target, depth):
    if depth > 64:
        sys.exit("groups are nested more than 64 deep")
    for name in source:
        if not isinstance(source.get(name, getlink=True), h5py.HardLink):
            sys.exit(f"{name!r} is a soft or external link")
        item = source[name]
        if isinstance(item, h5py.Group):
            copy(item, target.create_group(quote(name, safe=" ")), depth + 1)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                sys.exit(f"{name!r}: its data lie in another file")
            if item.nbytes > 2**31:
                sys.exit(f"{name!r}: shape {item.shape} needs {item.nbytes} bytes")
            target.create_dataset(quote(name, safe=" "), data=item[()], dtype=item.dtype)

with h5py.File(sys.argv[1], "r") as old, h5py.File(sys.argv[2], "w", libver="earliest") as new:
    copy(old, new, 0)
"""


def repacked(path: Path) -> bytes:
    """The bytes of the file at `path` in the oldest layout of HDF5, its names percent-encoded.

    That layout has no names outside ASCII.

    Raises:
        GraphError: it cannot be read, holds links or external data, or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "repacked.h5"
        size = path.stat().st_size
        seconds = _SECONDS + int(size * _SECONDS_A_BYTE)
        limits = [str(_MEMORY + _MEMORY_A_BYTE * size), str(seconds)]
        command = [sys.executable, "-I", "-c", _CHILD, str(path.absolute()), str(target), *limits]
        # Each thread of a BLAS reserves memory, and none is needed.
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_PATIENCE * seconds, check=False, env=alone
            )
        except subprocess.TimeoutExpired:
            raise GraphError(f"libhdf5 did not read it within {_PATIENCE * seconds} s") from None
        if done.returncode or not target.is_file():
            lines = done.stderr.decode("utf8", "replace").strip().splitlines() or ["libhdf5 crashed"]
            raise GraphError(f"cannot be read as an HDF5 file: {lines[-1][:200]}")
        return target.read_bytes()

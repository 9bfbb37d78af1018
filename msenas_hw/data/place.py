"""Where the files of a data set are, and whether they are the ones that were published."""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from targets.errors import DataError

VARIABLE = "MSENAS_DATA"
SYSTEM = Path("/usr/share/datasets")
# What the standard library and numpy raise on bytes that are not what they should be.
MALFORMED = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, tarfile.TarError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        md5: hexadecimal digest; of the unpacked file where readers unpack it, since packers differ.
        size: bytes of the file as it is fetched.
        url: where it is fetched from.
        fetched: digest of the file as it is fetched, where `md5` is of the unpacked one.
    """

    name: str
    md5: str
    size: int | None = None
    url: str | None = None
    fetched: str | None = None


@dataclass(frozen=True)
class Place:
    """A folder that holds a set.

    Attributes:
        name: of the set.
        folder: holds the files.
        mend: what to do about a missing or damaged file, for messages.
        known: names of published files by digest, to say what a mislabelled file is.
    """

    name: str
    folder: Path
    mend: str
    known: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def opened(self, file: File) -> Iterator[BinaryIO]:
        """The file, open at its start, once its digest was verified; what its parser raises names it.

        Raises:
            DataError: it is missing, truncated, altered or mislabelled, or cannot be parsed.
        """
        path = self.folder / file.name
        try:
            handle = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: no such file ({error.strerror}); {self.mend}") from None
        with handle, self.parsing(path):
            self.verify(path, handle, file)
            handle.seek(0)
            yield handle

    def verify(self, path: Path, handle: BufferedReader, file: File) -> None:
        """DataError unless `handle` has the size and the digest of `file`."""
        size = os.fstat(handle.fileno()).st_size
        if file.size is not None and size < file.size:
            raise DataError(f"{path}: truncated: found {size} bytes of {file.size}; {self.mend}")
        self.verify_digest(path, hashlib.file_digest(handle, _md5).hexdigest(), file.md5)

    def verify_digest(self, path: Path, found: str, wanted: str) -> None:
        """DataError unless two digests are equal."""
        if found == wanted:
            return
        other = self.known.get(found)
        what = f"mislabelled: this is {other}" if other else "altered or incomplete"
        raise DataError(f"{path}: {what} (md5 {found}, allowed {wanted}); {self.mend}")

    @contextmanager
    def parsing(self, path: Path | str) -> Iterator[None]:
        """Turn whatever malformed bytes make a parser raise into a DataError that names the file."""
        try:
            yield
        except DataError:
            raise
        except MemoryError:
            raise DataError(f"{path}: asks for more memory than there is; {self.mend}") from None
        except MALFORMED as error:
            told = str(error).strip() or type(error).__name__
            raise DataError(f"{path}: malformed ({told}); {self.mend}") from None


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def cache() -> Path:
    """The user's cache of this project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msenas-hw"


def located(
    name: str,
    marks: Sequence[str],
    folders: Sequence[str],
    mend: str,
    known: Mapping[str, str],
    folder: Path | None = None,
) -> Place:
    """The first place that holds any file of a set.

    Order: `folder` alone where given; else the folders that `MSENAS_DATA` names, the system's, the cache.

    Args:
        name: of the set.
        marks: names of which any one marks a place.
        folders: where below a root to look; a given `folder` may also hold the files itself.

    Raises:
        DataError: there is none; says where it was searched. Nothing is downloaded.
    """
    within = [*folders, ""] if folder is not None else list(folders)
    roots = searched(folder)
    for root in roots:
        for below in within:
            if any((root / below / mark).exists() for mark in marks):
                return Place(name, root / below, mend, known)
    raise DataError(f"data {name!r}: no file of it in {', '.join(map(str, roots))}; {mend}")


def searched(folder: Path | None = None) -> list[Path]:
    """The roots under which files are looked for, in order."""
    if folder is not None:
        return [folder.parent if folder.is_file() else folder]
    named = [Path(item) for item in os.environ.get(VARIABLE, "").split(os.pathsep) if item]
    return [*named, SYSTEM, cache()]

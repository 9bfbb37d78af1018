"""Members of tar and zip archives, read one after another and never written to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

# No member of a supported set is larger.
LARGEST = 1 << 29


def checked(name: str) -> str:
    """A member's name; ValueError where it leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
        raise ValueError(f"member {name!r} leads out of the archive")
    return str(path)


def tar_members(handle: BinaryIO, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file of a gzipped tar whose name ends with one of `suffixes`, as they come.

    Raises:
        ValueError, tarfile.TarError, EOFError, zlib.error: a member leads out of the archive, is a link or
            a device, or is too large; the archive is broken.
    """
    with tarfile.open(fileobj=handle, mode="r|gz") as archive:
        for member in archive:
            name = checked(member.name)
            if member.isdir():
                continue
            if not member.isreg():
                raise ValueError(f"member {name!r} is no regular file")
            if not name.endswith(suffixes):
                continue
            _small(name, member.size)
            content = archive.extractfile(member)
            if content is None:
                raise ValueError(f"member {name!r} has no content")
            yield name, content.read()


def zip_members(handle: BinaryIO, suffixes: tuple[str, ...]) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip whose names end with one of `suffixes`, checked as in `tar_members`."""
    found = {}
    for member in zipfile.ZipFile(handle).infolist():
        name = checked(member.filename)
        if member.is_dir() or not name.endswith(suffixes) or "__MACOSX" in name:
            continue
        _small(name, member.file_size)
        found[name] = member
    return found


def zip_content(handle: BinaryIO, members: list[zipfile.ZipInfo]) -> Iterator[bytes]:
    """Bytes of the members, which must have the size that the archive states."""
    with zipfile.ZipFile(handle) as archive:
        for member in members:
            with archive.open(member) as content:
                data = content.read(member.file_size + 1)
            if len(data) != member.file_size:
                raise ValueError(f"member {member.filename!r} has another size than stated")
            yield data


def _small(name: str, size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"member {name!r} has {size} bytes, allowed {LARGEST}")

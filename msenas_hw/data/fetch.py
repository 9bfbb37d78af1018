"""Downloads of published files: resumed where they were cut off, and verified. Nothing else downloads."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msenas_hw.data.place import File, cache
from msenas_hw.data.source import Source
from targets.errors import DataError

# Called with the bytes of the file so far and, where the server says, of the whole.
Told = Callable[[int, int | None], None]
_TRIES = 5
_WAIT_S = 2.0
_TIMEOUT_S = 60
_PIECE = 1 << 18
_AGENT = "msenas-hw"


def folder_of(source: Source) -> Path:
    """Where fetched files go."""
    return cache() / source.name


def missing(source: Source) -> list[File]:
    """The files that the cache does not hold as they were published."""
    folder = folder_of(source)
    return [file for file in source.files if not _verified(folder / file.name, file)]


def announced(file: File) -> int | None:
    """Bytes to fetch: of the table, else as the server says; None where it does not.

    Raises:
        DataError: the server cannot be reached.
    """
    if file.size is not None:
        return file.size
    request = urllib.request.Request(_url(file), method="HEAD", headers={"User-Agent": _AGENT})
    try:
        with _open(request) as response:
            length = response.headers.get("Content-Length")
    except urllib.error.HTTPError:
        return None  # some servers answer GET alone
    except OSError as error:
        raise DataError(_unreached(file, error)) from None
    return int(length) if length and length.isdigit() else None


def fetched(file: File, folder: Path, told: Told, wait_s: float = _WAIT_S) -> Path:
    """Download a file into `folder`; what was downloaded before an interruption is kept and continued.

    Proxies are those of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).

    Raises:
        DataError: the server cannot be reached or breaks off again and again, or what it gives has another
            digest, in which case nothing is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / file.name, folder / f"{file.name}.part"
    tries = 0
    while True:
        had = _size(part)
        try:
            if _continued(file, part, had, told):
                break
            error: Exception | None = None
        except urllib.error.HTTPError as refusal:
            if refusal.code == 416 and had:
                break  # nothing is left to send; the digest decides
            raise DataError(
                f"{_url(file)}: {refusal.code} {refusal.reason}; get {file.name} by hand"
            ) from None
        except (OSError, http.client.HTTPException) as broken:
            error = broken
        tries = 0 if _size(part) > had else tries + 1
        if tries >= _TRIES:
            raise DataError(_unreached(file, error))
        time.sleep(wait_s)
    found = _digest(part)
    if found != (file.fetched or file.md5):
        part.unlink()
        raise DataError(
            f"{_url(file)}: gave a file of md5 {found}, allowed {file.fetched or file.md5}; it was removed. "
            "Run it again; if that gives the same, the address serves another file"
        )
    os.replace(part, path)
    return path


def _continued(file: File, part: Path, had: int, told: Told) -> bool:
    """Append what is missing; whether that was all."""
    headers = {"User-Agent": _AGENT, **({"Range": f"bytes={had}-"} if had else {})}
    request = urllib.request.Request(_url(file), headers=headers)
    with _open(request) as response:
        # A server without ranges answers 200 and begins anew.
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        at = had if had and response.status == 206 and begins else 0
        length = response.headers.get("Content-Length", "")
        whole = at + int(length) if length.isdigit() else None
        with part.open("ab" if at else "wb") as out:
            while piece := response.read(_PIECE):
                out.write(piece)
                at += len(piece)
                told(at, whole)
    return whole is None or at >= whole


def _open(request: urllib.request.Request) -> Any:
    # An opener of its own, since the one of urlopen keeps the proxies of its first call.
    return urllib.request.build_opener().open(request, timeout=_TIMEOUT_S)


def _url(file: File) -> str:
    if file.url is None:
        raise DataError(f"{file.name}: nobody may fetch it for you")
    return file.url


def _unreached(file: File, error: Exception | None) -> str:
    return (
        f"{_url(file)}: cannot be fetched ({error or 'it ends early'}); run it again to continue, check "
        "HTTPS_PROXY, or get the file by hand"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _verified(path: Path, file: File) -> bool:
    return path.is_file() and _digest(path) == (file.fetched or file.md5)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

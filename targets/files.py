"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from targets.errors import ConfigError


def destination(path: Path) -> Path:
    """Where a file at `path` lies: what it points to, if it is a link.

    Raises:
        ConfigError: a link to itself.
    """
    try:
        return path.resolve() if path.is_symlink() else path
    # What Python 3.11 raises; later ones raise an OSError where the path is used.
    except RuntimeError as error:
        raise ConfigError(f"{path}: is a link to itself; give another path") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and is removed otherwise.

    A link stays, and what it points to is replaced.

    Raises:
        ConfigError: `path` is a folder, a device, a link to itself or what else must not be replaced.
        OSError: there is no room, or no right to write; it names `path`.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is no regular file, so it is not replaced; give another path")
    target = destination(path)
    # No other thread, process or machine that shares the folder has the same name.
    temporary = target.with_name(f".{target.name[:32]}.{secrets.token_hex(8)}.part")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        told = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if error.errno and (not told or str(temporary) in told):
            error.filename = str(path)
            # None would be said.
            del error.filename2
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()

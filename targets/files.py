"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from targets.errors import ConfigError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and is removed otherwise.

    A link stays, and what it points to is replaced.

    Raises:
        ConfigError: `path` is a folder, a device or another thing that must not be replaced.
        OSError: there is no room, or no right to write; it names `path`.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is no regular file, so it is not replaced; give another path")
    target = path.resolve()
    # No other thread, process or machine that shares the folder has the same name.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is not None and str(error.filename) in ("None", str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)

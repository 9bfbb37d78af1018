"""An unfinished training on disk: tensors and JSON in one safetensors file, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from targets.errors import ConfigError, MsenasError
from targets.files import replacing

_LISTED = 6


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by name, and all else as JSON."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state, and under which settings.

    Attributes:
        path: the file, `*.safetensors`.
        settings: all that the result depends on, as JSON values by dotted key.
    """

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    def with_settings(self, **more: Any) -> Checkpoint:
        """The same file under more settings; nested ones get dotted keys."""
        return Checkpoint(self.path, {**self.settings, **flat(more)})

    def write(self, saved: Saved) -> None:
        """Replace the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().clone().contiguous() for name, value in saved.tensors.items()}
        metadata = {
            "settings": json.dumps(dict(self.settings)),
            "state": json.dumps(dict(saved.state)),
        }
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, {**metadata, "sha256": _digest(tensors, metadata)})

    def read(self) -> Saved | None:
        """What the file holds; None where there is none.

        Raises:
            MsenasError: the file is damaged.
            ConfigError: it was written under other settings.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            digest = metadata.pop("sha256", "")
            sound = digest == _digest(tensors, metadata)
            settings, state = json.loads(metadata["settings"]), json.loads(metadata["state"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise _damaged(self.path, str(error)) from None
        if not sound:
            raise _damaged(self.path, "its checksum is wrong")
        self._compare(settings)
        return Saved(tensors, state)

    def _compare(self, found: Mapping[str, Any]) -> None:
        # What JSON makes of a value, such as a list of a tuple, counts as that value.
        wanted = json.loads(json.dumps(dict(self.settings)))
        names = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
        if not names:
            return
        listed = "; ".join(f"{key} was {found.get(key)!r}, is {wanted.get(key)!r}" for key in names[:_LISTED])
        more = f"; and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        raise ConfigError(
            f"{self.path}: an unfinished training under other settings: {listed}{more}; "
            "restore them to continue it, or begin anew with --restart"
        )


def flat(table: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """A nested table by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found.update(flat(value, f"{head}{key}.") if isinstance(value, Mapping) else {f"{head}{key}": value})
    return found


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> MsenasError:
    return MsenasError(
        f"{path}: a damaged checkpoint ({reason}); remove the file, or begin anew with --restart"
    )

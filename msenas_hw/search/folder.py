"""A run folder: `run.toml`, `study.sqlite`, `artifacts/<arch>/`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msenas_hw.config import Config, parse_config, read_toml
from targets.errors import ConfigError, MsenasError
from targets.files import replacing

RECORDED = ("msenas-hw", "torch", "numpy", "pymoo", "nir", "onnx", "onnxruntime", "scikit-learn")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    Attributes:
        path: the folder.
        config: the resolved configuration.
        status: `running` (or killed), `complete` or `infeasible`.
        chosen: architecture of the highest fitness inside the budget, once the search is complete.
    """

    path: Path
    config: Config
    status: str = "running"
    chosen: str | None = None

    @property
    def study(self) -> Path:
        """The database of the evaluations."""
        return self.path / "study.sqlite"

    def artifacts(self, arch: str) -> Path:
        """Folder of what was made from one architecture."""
        return self.path / "artifacts" / arch

    def write(self) -> None:
        """Write `run.toml`, whole or not at all."""
        import tomli_w

        table: dict[str, Any] = {
            "status": self.status,
            **({"chosen": self.chosen} if self.chosen else {}),
            "seeds": {"search": self.config.search.seed, "training": list(self.config.training.seeds)},
            "versions": _versions(),
            "config": self.config.model_dump(mode="json", exclude_none=True),
        }
        with replacing(self.path / "run.toml") as temporary:
            temporary.write_bytes(tomli_w.dumps(table).encode())


def create(path: Path, config: Config) -> RunFolder:
    """A new run folder.

    Raises:
        ConfigError: the folder holds a run already (the message says whether to resume it), or
            something else.
    """
    if (path / "run.toml").exists():
        same = open_run(path).config.same_search(config)
        reason = (
            f"it holds this search already; continue with: msenas resume {path}"
            if same
            else "it holds a search with another configuration; choose another --run, or remove the folder"
        )
        raise ConfigError(f"run folder {path}: {reason}")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"run folder {path}: it is a file; choose another --run")
    if path.exists() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise ConfigError(f"run folder {path}: it is not empty and holds no run.toml; choose another --run")
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path, config)
    folder.write()
    return folder


def open_run(path: Path) -> RunFolder:
    """A run folder on disk; ConfigError where `path` is none."""
    file = path / "run.toml"
    if not file.is_file():
        raise ConfigError(
            f"{path}: no run folder (run.toml is missing); make one with: msenas search CONFIG.toml"
        )
    table = read_toml(file)
    if not isinstance(table.get("config"), dict):
        raise ConfigError(f"{file}: table [config] is missing")
    config = parse_config(table["config"], str(file))
    return RunFolder(path, config, str(table.get("status", "running")), table.get("chosen"))


def run_of(model: Path) -> RunFolder | None:
    """The run folder in which a model lies as `artifacts/<arch>/<model>`, if it lies in one."""
    parents = model.resolve().parents
    if len(parents) < 3 or parents[1].name != "artifacts" or not (parents[2] / "run.toml").is_file():
        return None
    return open_run(parents[2])


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Keep a second search out of the folder while this one writes.

    The lock goes with the process, so a killed search leaves none behind.
    """
    import fcntl

    with (folder.path / ".lock").open("a+b", buffering=0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().decode(errors="replace") or "a process that does not say its number"
            raise MsenasError(
                f"run folder {folder.path}: another search is writing into it, {other}; "
                "wait until it ends, or end it"
            ) from None
        lock.truncate(0)
        with suppress(OSError):  # the name is for people; a full disk is told where it matters
            lock.write(f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

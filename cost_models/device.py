"""Devices: constants with their source, read from TOML files."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from targets.errors import ConfigError

GRADES = ("measured", "simulated", "derived", "vendor")
# "limits" has no costs; the others are the energy models of `cost_models.energy.estimate.MODELS`.
MODELS = (
    "limits",
    "loihi1_davies2018",
    "loihi1_sanafe",
    "loihi1_board",
    "loihi2_empirical",
    "truenorth",
    "spinnaker2",
    "xylo_a2",
    "cmos45",
    "lemaire2022",
    "gpu",
)
Table = tuple[tuple[float, ...], ...] | tuple[float, ...]


@dataclass(frozen=True)
class Constant:
    """One constant of a device.

    Attributes:
        value: a number, a list of numbers, or a list of `[key, number]` rows, in `unit` (SI).
        grade: "measured" | "simulated" | "derived" | "vendor".
        scope: what one unit of it pays for or limits.
        operating_point: voltage, board or build that it holds for.
    """

    value: float | Table
    unit: str
    source: str
    grade: str
    scope: str
    operating_point: str


@dataclass(frozen=True, eq=False)
class Device:
    """A device file.

    Attributes:
        chip: name of the device whose limits decide fit and placement.
        model: "limits", or the energy model that reads the constants.
        omitted: what figures from this device leave out.
        file: where it was read from.
    """

    name: str
    chip: str
    model: str
    describes: str
    note: str
    omitted: tuple[str, ...]
    constants: Mapping[str, Constant]
    file: str

    def __getitem__(self, key: str) -> float:
        """A scalar constant; ConfigError names file and key where it is missing or a table."""
        value = self._constant(key).value
        if isinstance(value, tuple):
            raise ConfigError(f"{self.file}: constants.{key}: found a list, allowed a number")
        return value

    def positive(self, key: str) -> float:
        """A scalar constant that divides, so it must not be zero."""
        value = self[key]
        if value <= 0:
            raise ConfigError(f"{self.file}: constants.{key}: found {value}, allowed a number > 0")
        return value

    def integer(self, key: str) -> int:
        """A scalar constant that must be whole."""
        value = self[key]
        if value != int(value):
            raise ConfigError(f"{self.file}: constants.{key}: found {value}, allowed a whole number")
        return int(value)

    def series(self, key: str) -> tuple[float, ...]:
        """A constant that is a list of numbers."""
        value = self._constant(key).value
        if isinstance(value, tuple) and all(isinstance(item, float) for item in value):
            return tuple(item for item in value if isinstance(item, float))
        raise ConfigError(f"{self.file}: constants.{key}: found {value}, allowed a list of numbers")

    def rows(self, key: str) -> tuple[tuple[float, float], ...]:
        """A constant that is a list of `[key, number]` rows, ascending in the key."""
        value = self._constant(key).value
        if isinstance(value, tuple):
            found = [(row[0], row[1]) for row in value if isinstance(row, tuple) and len(row) == 2]
            if len(found) == len(value) and found == sorted(found):
                return tuple(found)
        raise ConfigError(
            f"{self.file}: constants.{key}: found {value}, allowed ascending [key, number] rows"
        )

    def band(self, figure: str) -> tuple[float, float] | None:
        """Factors `(low, high)` on a figure ("energy" | "latency") between which the truth is expected.

        None where the file gives no `band_<figure>`; ConfigError where it is not `low <= 1 <= high`.
        """
        key = f"band_{figure}"
        if key not in self.constants:
            return None
        found = self.series(key)
        if len(found) != 2 or not found[0] <= 1 <= found[1]:
            raise ConfigError(
                f"{self.file}: constants.{key}: found {found}, allowed [low, high], low <= 1 <= high"
            )
        return found[0], found[1]

    @property
    def sources(self) -> tuple[str, ...]:
        """Distinct `source (grade)` of all constants, in file order."""
        return tuple(dict.fromkeys(f"{c.source} ({c.grade})" for c in self.constants.values()))

    def _constant(self, key: str) -> Constant:
        if key not in self.constants:
            raise ConfigError(f"{self.file}: constants.{key} is missing; the model {self.model!r} needs it")
        return self.constants[key]


def devices() -> dict[str, Device]:
    """The devices that come with the package, by name."""
    return {name: load_device(name) for name in _bundled()}


def load_device(device: str | Path) -> Device:
    """The device called `device`, or the one in a TOML file given by its path.

    Raises:
        ConfigError: unknown name, unreadable file, or a wrong key (file and key are named).
    """
    bundled = _bundled()
    if isinstance(device, str) and device in bundled:
        return _load_bundled(device)
    path = Path(device)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(str(device), bundled, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        allowed = ", ".join(bundled)
        raise ConfigError(
            f"unknown device {str(device)!r}, allowed {allowed} or a path to a .toml file{hint}"
        )
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"device file {path}: cannot be read: {error}") from None
    return _parse(text, str(path))


@lru_cache(maxsize=64)
def _load_bundled(name: str) -> Device:
    return _parse(files("cost_models").joinpath(f"devices/{name}.toml").read_text(), f"{name}.toml")


@lru_cache(maxsize=1)
def _bundled() -> tuple[str, ...]:
    folder = files("cost_models").joinpath("devices")
    return tuple(sorted(f.name[: -len(".toml")] for f in folder.iterdir() if f.name.endswith(".toml")))


@lru_cache(maxsize=32)
def _parse(text: str, file: str) -> Device:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None
    known = [field.name for field in fields(Device) if field.name != "file"]
    _same_keys(file, "", data, known)
    for key in ("name", "chip", "model", "describes", "note"):
        _text(file, key, data[key])
    if data["model"] not in MODELS:
        raise ConfigError(f"{file}: model: found {data['model']!r}, allowed {', '.join(MODELS)}")
    if not isinstance(data["omitted"], list) or not all(isinstance(item, str) for item in data["omitted"]):
        raise ConfigError(f"{file}: omitted: found {data['omitted']!r}, allowed a list of sentences")
    if not isinstance(data["constants"], dict):
        raise ConfigError(f"{file}: constants: found {data['constants']!r}, allowed a table")
    constants = {key: _constant(file, key, value) for key, value in data["constants"].items()}
    data.update(omitted=tuple(data["omitted"]), constants=constants)
    return Device(**data, file=file)


def _same_keys(file: str, prefix: str, data: Mapping[str, Any], known: list[str]) -> None:
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{file}: {prefix}{key} is not known, allowed {', '.join(known)}{hint}")
    for key in known:
        if key not in data:
            raise ConfigError(f"{file}: {prefix}{key} is missing")


def _text(file: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{file}: {key}: found {value!r}, allowed a text")
    return value


def _constant(file: str, name: str, value: Any) -> Constant:
    prefix = f"constants.{name}"
    if not isinstance(value, dict):
        raise ConfigError(
            f"{file}: {prefix}: found {value!r}, allowed a table with value, source, grade, scope"
        )
    texts = [field.name for field in fields(Constant) if field.name != "value"]
    _same_keys(file, f"{prefix}.", value, ["value", *texts])
    for key in texts:
        _text(file, f"{prefix}.{key}", value[key])
    if value["grade"] not in GRADES:
        raise ConfigError(f"{file}: {prefix}.grade: found {value['grade']!r}, allowed {', '.join(GRADES)}")
    number = _number(file, f"{prefix}.value", value["value"])
    return Constant(number, **{key: value[key] for key in texts})


def _number(file: str, key: str, value: Any) -> Any:
    if isinstance(value, list) and value:
        return tuple(_number(file, key, item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigError(f"{file}: {key}: found {value!r}, allowed a finite number >= 0")
    return float(value)

"""One typed description of an experiment, read from TOML."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from msenas_hw.budget import DEVICE_RESOURCES, RESOURCES, BudgetConfig, DeviceBudget
from msenas_hw.data.config import DataConfig
from msenas_hw.space import SpaceConfig
from msenas_hw.training.config import TrainingConfig
from targets.errors import ConfigError

__all__ = [
    "DEVICE_RESOURCES",
    "RESOURCES",
    "Algorithm",
    "BaselinesConfig",
    "BudgetConfig",
    "Config",
    "DeviceBudget",
    "FitnessName",
    "Objective",
    "SearchConfig",
    "SecondStageConfig",
    "load_config",
    "parse_config",
    "read_toml",
]

_PATHS = (
    ("data", "name", ".npz"),
    ("data", "folder", ""),
    ("budget", "device", ".toml"),
    ("budget", "chip", ".toml"),
)
Algorithm = Literal["nsga2", "nsga3", "random", "regularised"]
Objective = Literal[
    "fitness", "energy_j", "latency_s", "synops", "spikes", "cores", "memory", "parameters"
]  # fmt: skip

FitnessName = Literal[
    "temporal-variance", "temporal-nuclear", "nuclear", "temporal-rank", "rank",
    "temporal-rank-spikes", "rank-spikes",
    "manhattan-released", "manhattan", "hamming-logdet", "cosine", "pearson",
]  # fmt: skip


class SearchConfig(BaseModel):
    """Section `[search]`: the algorithm and its objectives.

    Attributes:
        algorithm: `nsga2` or `nsga3`; or one of the baselines, `random` sampling and `regularised` evolution.
        objectives: what is weighed: fitness, the larger the better, and figures of a sample on
            `budget.device`, the smaller the better. The front, its hypervolume and its pictures follow them.
        population: networks a generation.
        generations: generations, the random first one included.
        seed: of all randomness of the search.
        fitness: variant of the training-free fitness (`msenas_hw.fitness.rdm`).
        draws: weight draws over which the fitness is averaged.
        crossover: probability that a child has two parents.
        micro_rate: probability that a gene of a neuron mutates.
        meso_rate: probability that the motif of a cell mutates.
        macro_rate: probability that a cell's width or halving, a connection, or the number of cells mutates.
        infeasible_generations: generations without a network inside the budget, after which it stops.
        workers: evaluating processes; the result does not depend on it.
        timeout_s: seconds after which an evaluation is given up and recorded as a failure; none by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Algorithm = "nsga2"
    objectives: tuple[Objective, ...] = Field(default=("fitness", "energy_j", "latency_s"), min_length=1)
    population: int = Field(default=32, ge=4)
    generations: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0)
    fitness: FitnessName = "temporal-variance"
    draws: int = Field(default=2, ge=2)
    crossover: float = Field(default=0.7, ge=0, le=1)
    micro_rate: float = Field(default=0.1, ge=0, le=1)
    meso_rate: float = Field(default=0.15, ge=0, le=1)
    macro_rate: float = Field(default=0.1, ge=0, le=1)
    infeasible_generations: int = Field(default=3, ge=1)
    workers: int = Field(default=1, ge=1)
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _each_once(self) -> SearchConfig:
        if len(set(self.objectives)) != len(self.objectives):
            raise ValueError(f"objectives: found {self.objectives}, allowed each once")
        if self.algorithm == "nsga3" and self.population < len(self.objectives):
            raise ValueError(
                f"population: found {self.population}, allowed at least {len(self.objectives)}, "
                "since nsga3 keeps a reference direction for each objective"
            )
        return self


class BaselinesConfig(BaseModel):
    """Section `[baselines]`: further searches with the same number of evaluations, to compare with.

    Attributes:
        algorithms: of the baselines; none leaves the comparison out.
        seeds: of each algorithm, the search's own among them: `search.seed` and the next ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithms: tuple[Algorithm, ...] = ()
    seeds: int = Field(default=1, ge=1)


class SecondStageConfig(BaseModel):
    """Section `[second_stage]`: successive halving by short training among the front.

    Learning rules (`space.rules`) are chosen here, and so is the network, in place of the fittest.

    Attributes:
        candidates: networks that begin, the fittest of the front first, then the same with learning rules
            drawn anew; 0 leaves the stage out.
        epochs: of each rung, by `[training]` otherwise.
        keep: share that goes on to the next rung.
        learns_on: chip that must be able to run every layer's rule itself (`cost_models.learning`); without
            it, networks may learn elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: int = Field(default=0, ge=0)
    epochs: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(2, 4, 8), min_length=1)
    keep: float = Field(default=0.5, gt=0, lt=1)
    learns_on: str | None = None

    @model_validator(mode="after")
    def _rising(self) -> SecondStageConfig:
        if list(self.epochs) != sorted(set(self.epochs)):
            raise ValueError(f"epochs: found {self.epochs}, allowed a rising list such as [2, 4, 8]")
        return self


class Config(BaseModel):
    """A whole experiment. Every section may be left out and has working defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataConfig = DataConfig()
    space: SpaceConfig = Field(default_factory=lambda: SpaceConfig.model_validate({}))
    budget: BudgetConfig = BudgetConfig()
    search: SearchConfig = SearchConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    second_stage: SecondStageConfig = SecondStageConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _comparable(self) -> Config:
        if self.budget.robust and "energy_j" not in self.search.objectives:
            raise ValueError("budget.robust: needs energy_j among search.objectives, which the models judge")
        if self.search.algorithm in self.baselines.algorithms:
            raise ValueError(
                f"baselines.algorithms: found {self.search.algorithm!r}, which is search.algorithm itself"
            )
        return self

    def same_search(self, other: Config) -> bool:
        """Whether two configurations give the same trials: all but the worker count, and training where no
        second stage needs it."""
        return self._essence() == other._essence()

    def _essence(self) -> dict[str, Any]:
        dumped = self.model_dump(mode="json", exclude={"search": {"workers"}})
        return dumped if self.second_stage.candidates else {**dumped, "training": None}


def load_config(source: Path | Config | None, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML configuration and apply `section.key=value` overrides.

    In place of a file, `source` may be a configuration to change, or None for the defaults. A relative path
    of an NPZ or a device starts at the folder of the file, in an override at the working folder.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, a value is not allowed.
    """
    table = _table(source)
    for override in overrides:
        _apply(table, override)
    _anchor(table, Path())
    return parse_config(table, str(source) if isinstance(source, Path) else "--set")


def _table(source: Path | Config | None) -> dict[str, Any]:
    if isinstance(source, Path):
        table = read_toml(source)
        _anchor(table, source.parent)
        return table
    return {} if source is None else source.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _anchor(table: dict[str, Any], folder: Path) -> None:
    """Make relative paths absolute, so that a run can be resumed from any folder."""
    for section, key, suffix in _PATHS:
        values = table.get(section)
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(values, dict) and isinstance(value, str) and value.endswith(suffix):
            values[key] = str((folder / value).resolve())
    budget = table.get("budget")
    devices = budget.get("devices") if isinstance(budget, dict) else None
    if isinstance(budget, dict) and isinstance(devices, dict):
        budget["devices"] = {_device(name, folder): limits for name, limits in devices.items()}
    elif isinstance(budget, dict) and isinstance(devices, list):
        budget["devices"] = [_device(name, folder) for name in devices]


def _device(name: Any, folder: Path) -> Any:
    """The name of a device, a path made absolute."""
    return str((folder / name).resolve()) if isinstance(name, str) and name.endswith(".toml") else name


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; ConfigError where it is missing or corrupt."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from None


def parse_config(table: Mapping[str, Any], source: str) -> Config:
    """A configuration from a table; `source` names it in errors.

    Raises:
        ConfigError: every unknown key with the nearest known one, every value that is not allowed.
    """
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A wrong item also makes its list too short; the item is the cause.
        inner = {problem["loc"][:-1] for problem in found}
        lines = [_explain(problem) for problem in found if problem["loc"] not in inner or not problem["loc"]]
        head = f"{source}: " if len(lines) == 1 else f"{source}: {len(lines)} problems\n  "
        raise ConfigError(head + "\n  ".join(lines)) from None


def _apply(table: dict[str, Any], override: str) -> None:
    """Set one dotted key to a value written as in TOML, or bare text."""
    name, separator, text = override.partition("=")
    keys = name.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {override!r}: allowed SECTION.KEY=VALUE, such as search.population=64")
    here = table
    for key in keys[:-1]:
        here = here.setdefault(key, {})
        if not isinstance(here, dict):
            raise ConfigError(f"--set {override!r}: {key!r} is a value, not a section")
    try:
        here[keys[-1]] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        here[keys[-1]] = text.strip()


def _explain(problem: Mapping[str, Any]) -> str:
    """One pydantic problem in the words of this project."""
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return ".".join([*path, _allowed(problem)])  # a rule between keys; its text begins with the key
    if problem["type"] == "missing":
        return f"{key}: missing; {'.'.join(path[:-1])} is {problem['input']!r}"
    if problem["type"] != "extra_forbidden":
        return f"{key}: found {problem['input']!r}, allowed {_allowed(problem)}"
    known = _fields(path[:-1])
    near = _nearest(path[-1], known)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"unknown key {key!r}, allowed here: {', '.join(known)}{hint}"


def _allowed(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "model_type":
        return f"a section, such as [{problem['loc'][-1]}]"
    message = str(problem["msg"])
    for prefix in ("Input should be a valid ", "Input should be ", "Value error, "):
        message = message.removeprefix(prefix)
    return message


def _fields(path: Sequence[str]) -> list[str]:
    """Known keys of the section at `path`."""
    model: type[BaseModel] = Config
    for name in path:
        if name in model.model_fields:
            model = _model(model.model_fields[name].annotation) or model
    return list(model.model_fields)


def _nearest(key: str, known: Sequence[str]) -> str | None:
    """The key that was meant: the same one of another section, or a similar one, this section first."""
    dotted = {name: f"{section}.{name}" for section in Config.model_fields for name in _fields([section])}
    if key in dotted:
        return dotted[key]
    here = difflib.get_close_matches(key, known, 1, cutoff=0.5)
    there = difflib.get_close_matches(key, dotted, 1)
    return here[0] if here else dotted[there[0]] if there else None


def _model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

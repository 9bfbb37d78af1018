"""What a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msenas_hw.config import Config
from msenas_hw.search import archive, objectives
from msenas_hw.search.evaluation import Measured
from msenas_hw.search.folder import open_run
from msenas_hw.search.store import Generation, Short, Store, Trial
from msenas_hw.space import Genome
from targets.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    from msenas_hw.fitness import VarianceReport

FRONT_KEYS = (
    "arch", "fitness", "energy_j", "latency_s", "spikes", "synops", "cores", "memory", "parameters", "motifs"
)  # fmt: skip
DEVICE_KEYS = ("energy_j", "latency_s", "cores", "memory")


@dataclass(frozen=True, eq=False)
class Study:
    """The trials of a search and what follows from them.

    Attributes:
        config: the experiment.
        store: its evaluations.
    """

    config: Config
    store: Store

    @classmethod
    def open(cls, run: Path) -> Study:
        """The study of a run folder, finished or not.

        Raises:
            ConfigError: `run` is no run folder.
            DataError: its database is damaged.
        """
        folder = open_run(run)
        # A search killed early has no database yet, and a reader makes none.
        return cls(folder.config, Store(folder.study if folder.study.exists() else None))

    def trials(self) -> list[Trial]:
        """Every trial in the order in which the search asked for it."""
        return self.store.trials()

    def generations(self) -> list[Generation]:
        """Size and hypervolume of the front after each generation."""
        return self.store.generations()

    def front(self) -> list[Trial]:
        """Feasible trials that none dominates in the objectives, fittest first."""
        return archive.front(self.trials(), self.config.budget, self.config.search.objectives)

    def front_rows(self) -> list[dict[str, Any]]:
        """The front as plain tables; energy in J, latency in s, spikes and synops a sample.

        Where the budget names further devices, `devices` holds the figures on each.
        """
        return [_row(trial.measured) for trial in self.front()]

    @property
    def chosen(self) -> str | None:
        """Winner of the second stage, else the fittest of the front; None where that is empty."""
        shorts = self.shorts()
        if shorts:
            return self._winner(shorts).arch
        best = self.front()
        return best[0].key if best else None

    def find(self, arch: str) -> Trial:
        """The trial of an architecture, by its name, a unique beginning of it, or `chosen`.

        Raises:
            BudgetError: `chosen`, but no trial is inside the budget.
            ConfigError: no or several architectures of that name.
        """
        wanted = self.chosen if arch == "chosen" else arch
        if wanted is None:
            raise BudgetError("no network of this run is inside the budget, so none is chosen")
        found = {trial.key: trial for trial in self.trials() if trial.key.startswith(wanted)}
        if len(found) != 1:
            raise ConfigError(
                f"architecture {arch!r}: found {len(found)} in this run, allowed 1; see: msenas front RUN"
            )
        return next(iter(found.values()))

    def genome(self, arch: str) -> Genome:
        """The genome of an architecture (`find`), with the best learning rules of its second stage."""
        trial = self.find(arch)
        shorts = [short for short in self.shorts() if short.arch == trial.key]
        return Genome.from_json(self._winner(shorts).genome if shorts else trial.measured.genome)

    def shorts(self) -> list[Short]:
        """Short trainings of the second stage, rung by rung."""
        return self.store.shorts()

    def _winner(self, shorts: Sequence[Short]) -> Short:
        last = max(short.rung for short in shorts)
        return max((short for short in shorts if short.rung == last), key=lambda short: short.rank)

    def variance(self) -> VarianceReport:
        """Variance of the fitness between weight draws against that between networks.

        Raises:
            DataError: fewer than two live networks.
        """
        from msenas_hw.fitness import Fitness, variance_report

        unique = {trial.key: trial.measured for trial in self.trials()}
        return variance_report(
            [Fitness(one.fitness, one.per_draw, one.alive, one.reason, (), ()) for one in unique.values()]
        )

    def _repr_html_(self) -> str:
        from targets.notebook import table

        rows = [{key: value for key, value in row.items() if key != "devices"} for row in self.front_rows()]
        said = f"{len(self.trials())} networks evaluated, {len(rows)} on the front"
        return table(rows, f"{said}, chosen: {self.chosen or 'none'}")

    def to_frame(self) -> Any:
        """All trials as a pandas DataFrame where pandas is installed, else as a list of tables."""
        rows = [self._row(trial) for trial in self.trials()]
        try:
            pandas = import_module("pandas")
        except ImportError:
            return rows
        return pandas.DataFrame(rows)

    def plot(self, path: Path | str) -> None:
        """Draw trials and front into an SVG, PNG or PDF file; needs extra `report`."""
        from msenas_hw.report.front import draw

        draw(self, Path(path))

    def _row(self, trial: Trial) -> dict[str, Any]:
        measured, budget = trial.measured, self.config.budget
        return {
            "trial": trial.number,
            "generation": trial.generation,
            **_row(measured),
            "per_draw": list(measured.per_draw),
            "alive": measured.alive,
            "feasible": objectives.feasible(measured, budget),
            "violations": {k: v for k, v in objectives.violations(measured, budget).items() if v},
            "failure": measured.failure,
        }


def _row(measured: Measured) -> dict[str, Any]:
    row = {key: _plain(getattr(measured, key)) for key in FRONT_KEYS}
    devices = {
        name: {key: figures.get(key) for key in DEVICE_KEYS} for name, figures in measured.devices.items()
    }
    return {**row, "devices": devices} if devices else row


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

"""The Pareto front as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msenas_hw.report.goals import Goal, objectives
from targets.errors import ConfigError, MsenasError
from targets.files import replacing

if TYPE_CHECKING:
    from msenas_hw.search import Measured, Study

FORMS = ("svg", "png", "pdf")


def draw(study: Study, path: Path) -> None:
    """Write the picture of trials and front; the suffix of `path` chooses SVG, PNG or PDF.

    Raises:
        ConfigError: another suffix.
        MsenasError: matplotlib is not installed, or the study has no trials yet.
    """
    form = form_of(path)
    with replacing(path) as temporary:
        temporary.write_bytes(picture(study, form))


def form_of(path: Path) -> str:
    """The form that the suffix of a file asks for; ConfigError where it is not among `FORMS`."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise ConfigError(f"{path}: suffix {path.suffix!r}, allowed {', '.join('.' + one for one in FORMS)}")
    return form


def picture(study: Study, form: str = "svg") -> bytes:
    """The picture as bytes: the first objectives of the search as axes and colour, the front ringed.

    Raises:
        MsenasError: matplotlib is not installed, or the study has no trials yet.
    """
    alive = [trial.measured for trial in study.trials() if trial.measured.alive]
    if not alive:
        raise MsenasError("the study has no live trial yet, so there is nothing to draw")
    return rendered(lambda axes: _fill(axes, study, alive), form)


def rendered(fill: Callable[[Any], None], form: str) -> bytes:
    """A picture of one set of axes, as bytes; the same content gives the same bytes.

    Raises:
        MsenasError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MsenasError(
            "a picture needs matplotlib; install it with: pip install 'msenas-hw[report]'"
        ) from None
    with mpl.rc_context({"svg.hashsalt": "msenas-hw", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.0, 4.5), layout="constrained")
        fill(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=form, metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
        )
    return buffer.getvalue()


def _fill(axes: Any, study: Study, alive: Sequence[Measured]) -> None:
    best = [trial.measured for trial in study.front()]
    goals = sorted(objectives(study.config), key=lambda goal: goal.larger_is_better)
    # The figure of which more is better stands upright; a single objective is drawn against its rank.
    across, upright = goals[0], goals[-1]
    colour = goals[1] if len(goals) > 2 else None
    ranks = {one.arch: rank for rank, one in enumerate(sorted(alive, key=lambda one: _value(one, upright)))}

    def points(found: Sequence[Measured]) -> tuple[list[float], list[float]]:
        single = len(goals) == 1
        x = [float(ranks[one.arch]) if single else _value(one, across) for one in found]
        return x, [_value(one, upright) for one in found]

    shade = {} if colour is None else {"c": [_value(one, colour) for one in alive], "cmap": "viridis"}
    dots = axes.scatter(*points(alive), s=18, **shade)
    axes.scatter(*points(best), s=70, facecolors="none", edgecolors="tab:red", label="front")
    limit = study.config.budget.limits.get(across.name)
    if len(goals) > 1 and limit is not None:
        axes.axvline(limit, color="grey", linestyle="--", label=f"budget of {across.label.lower()}")
    if len(goals) > 1 and min(points(alive)[0]) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(_titled(across) if len(goals) > 1 else "network, by rank")
    axes.set_ylabel(_titled(upright))
    if colour is not None:
        axes.figure.colorbar(dots, ax=axes, label=_titled(colour))
    axes.legend()


def _value(measured: Measured, goal: Goal) -> float:
    return float(getattr(measured, goal.name))


def _titled(goal: Goal) -> str:
    return f"{goal.label} ({goal.unit})" if goal.unit else goal.label

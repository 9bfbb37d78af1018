"""The Pareto front as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise ConfigError(f"{path}: suffix {path.suffix!r}, allowed {', '.join('.' + one for one in FORMS)}")
    with replacing(path) as temporary:
        temporary.write_bytes(picture(study, form))


def picture(study: Study, form: str = "svg") -> bytes:
    """The picture as bytes: fitness against energy, colour is latency, the front ringed.

    Raises:
        MsenasError: matplotlib is not installed, or the study has no trials yet.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MsenasError(
            "a picture needs matplotlib; install it with: pip install 'msenas-hw[report]'"
        ) from None
    alive = [trial for trial in study.trials() if trial.measured.alive]
    if not alive:
        raise MsenasError("the study has no live trial yet, so there is nothing to draw")
    # Without a salt and a date the same study gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "msenas-hw", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.0, 4.5), layout="constrained")
        _fill(figure.add_subplot(), study, [trial.measured for trial in alive])
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=form, metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
        )
    return buffer.getvalue()


def _fill(axes: Any, study: Study, alive: list[Measured]) -> None:
    best = [trial.measured for trial in study.front()]
    colours = [one.latency_s for one in alive]
    dots = axes.scatter(*_points(alive), c=colours, s=18, cmap="viridis")
    axes.scatter(*_points(best), s=70, facecolors="none", edgecolors="tab:red", label="front")
    limit = study.config.budget.energy_j
    if limit is not None:
        axes.axvline(limit, color="grey", linestyle="--", label="energy budget")
    axes.set_xscale("log")
    axes.set_xlabel("energy (J / sample)")
    axes.set_ylabel("fitness")
    axes.figure.colorbar(dots, ax=axes, label="latency (s / sample)")
    axes.legend()


def _points(found: list[Measured]) -> tuple[list[float], list[float]]:
    return [one.energy_j for one in found], [one.fitness for one in found]

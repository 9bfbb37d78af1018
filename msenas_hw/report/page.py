"""A run as one HTML file that needs nothing else, and its figures as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from msenas_hw.report.card import write_cards
from msenas_hw.report.document import document, front_rows
from msenas_hw.report.drawing import drawings
from msenas_hw.report.networks import Told, silent
from msenas_hw.search import Study
from targets.files import replacing

# In the order in which the page needs them.
SCRIPTS = (
    "base.js", "scatter.js", "space.js", "parallel.js", "front.js", "network.js", "energy.js", "cores.js",
    "results.js", "run.js", "page.js",
)  # fmt: skip
# Trials that are neither on the front nor trained, beyond which a page keeps every n-th only.
_POINTS = 3000
# A drawing takes some 20 kB.
_DRAWINGS = 100
NETWORKS = 12


def write_report(study: Study, run: Path, most: int = NETWORKS, told: Told = silent) -> Path:
    """Write `report.html`, `report.json` and `front.csv` into a run folder, and `card.md` beside each trained
    network; the path of the page.

    Args:
        study: of the run.
        run: its folder.
        most: networks of the front that are run again for their layers, energy terms and cores.
        told: called before each of them with its name, its number and the number of all.

    Raises:
        DataError: the data of the run are gone, or a file in its folder is damaged.
    """
    found = document(study, run, most, told)
    texts = {
        "report.json": json.dumps(found, indent=1) + "\n",
        "front.csv": _csv(found),
        "report.html": page(found, drawings(study, found["networks"], _DRAWINGS)),
    }
    for name, text in texts.items():
        with replacing(run / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_cards(run)
    return run / "report.html"


def page(found: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The document as HTML, with `{arch: drawing as SVG}`."""
    assets = files("msenas_hw.report") / "assets"
    networks = {arch: {**known, "drawing": pictures.get(arch)} for arch, known in found["networks"].items()}
    shown = {
        **found,
        "networks": networks,
        "trials": _thinned(found["trials"]),
        "toml": _toml(found["config"]),
    }
    parts = {
        "title": escape(f"{found['run']}: msenas report"),
        "style": (assets / "page.css").read_text(encoding="utf-8"),
        # A text that ends the element would end the page; JSON may write it otherwise.
        "data": json.dumps(shown, separators=(",", ":")).replace("<", "\\u003c"),
        "script": "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    text = (assets / "page.html").read_text(encoding="utf-8")
    head, *rest = text.split("@")
    pieces = [head]
    for name, literal in zip(rest[::2], rest[1::2], strict=True):
        pieces += [parts[name], literal]
    return "".join(pieces)


def _thinned(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All of the front, and of the others as many as a browser draws at once."""
    others = sum(not trial["front"] for trial in trials)
    every = max(1, -(-others // _POINTS))
    return [trial for at, trial in enumerate(trials) if trial["front"] or at % every == 0]


def _toml(config: Mapping[str, Any]) -> str:
    import tomli_w

    # One line a list is easier to read than one line an item.
    return re.sub(
        r"\[\s+([^\[\]]*?),?\s+\]", lambda found: f"[{' '.join(found[1].split())}]", tomli_w.dumps(config)
    )


def _csv(found: Mapping[str, Any]) -> str:
    """The front, fittest first; what was not measured is empty."""
    names = [goal["name"] for goal in found["figures"]]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["arch", "generation", *names, "motifs"])
    for row in front_rows(found):
        writer.writerow(
            [row["arch"], row["generation"], *(row[name] for name in names), " ".join(row["motifs"])]
        )
    return buffer.getvalue()

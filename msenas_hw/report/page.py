"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.errors import MsenasError
from targets.files import replacing

if TYPE_CHECKING:
    from msenas_hw.search import Study

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } th, td { padding: .2em .8em; border-bottom: 1px solid #ddd;
  text-align: right }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left } img { max-width: 100% }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ trials }} networks evaluated in {{ generations|length }} generations; {{ rows|length }} on the front;
chosen: {{ chosen or "none" }}. Energy and latency are estimates of {{ device }}
for the untrained networks.</p>
<img alt="Pareto front" src="data:image/svg+xml;base64,{{ picture }}">
<h2>Front</h2>
<table><tr>{% for key in keys %}<th>{{ key }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for key in keys %}<td>{{ shown(row[key]) }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Budget</h2>
<table>{% for key, value in budget.items() %}
<tr><td>{{ key }}</td><td>{{ shown(value) }}</td></tr>{% endfor %}</table>
<h2>Generations</h2>
<table><tr><th>generation</th><th>networks</th><th>front</th><th>hypervolume</th></tr>
{% for one in generations %}<tr><td>{{ one.generation }}</td><td>{{ one.trials }}</td><td>{{ one.front }}</td>
<td>{{ shown(one.hypervolume) }}</td></tr>{% endfor %}</table>
</body></html>
"""


def write_report(study: Study, run: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        MsenasError: jinja2 or matplotlib is not installed, or the study has no trials yet.
    """
    file = run / "report.html"
    text = page(study, run.resolve().name)
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return file


def page(study: Study, title: str) -> str:
    """The report of a study as HTML."""
    try:
        from jinja2 import Environment
    except ImportError:
        raise MsenasError("a report needs jinja2; install it with: pip install 'msenas-hw[report]'") from None
    from msenas_hw.report.front import picture
    from msenas_hw.search.study import FRONT_KEYS

    return (
        Environment(autoescape=True, keep_trailing_newline=True)
        .from_string(TEMPLATE)
        .render(
            title=title,
            trials=len(study.trials()),
            generations=study.generations(),
            rows=study.front_rows(),
            keys=FRONT_KEYS,
            chosen=study.chosen,
            device=study.config.budget.device,
            budget=study.config.budget.model_dump(exclude_none=True),
            picture=base64.b64encode(picture(study)).decode(),
            shown=_shown,
        )
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(value) if isinstance(value, list) else str(value)

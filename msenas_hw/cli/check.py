"""`msenas check`"""

from __future__ import annotations

from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit, say

DOES_NOT_FIT = 3


def check(
    model: Model,
    device: Annotated[str, typer.Option("--device", help="Chip, see msenas devices.", show_default=False)],
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Check a network against the limits of a chip; exit code 3 where it does not fit."""
    import cost_models

    report = cost_models.check(read_model(model, profile), device).as_json()
    head = [{key: report[key] for key in ("device", "fits", "cores", "binding")}]
    emit(form, report, head, report["broken"])
    if not report["fits"]:
        say(f"error: {len(report['broken'])} rules of {device} are broken")
        raise typer.Exit(DOES_NOT_FIT)

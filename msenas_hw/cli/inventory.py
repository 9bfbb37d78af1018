"""`msenas targets` and `msenas devices`"""

from __future__ import annotations

from msenas_hw.cli.options import Format, Output
from msenas_hw.cli.output import emit


def list_targets(form: Output = Format.TABLE) -> None:
    """List the targets, and why one cannot run here."""
    import targets

    rows = []
    for name in targets.names():
        target = targets.find(name)
        reason = target.unavailable()
        rows.append(
            {
                "target": name,
                "describes": target.describes,
                "arithmetics": list(target.arithmetics),
                "available": reason is None,
                "reason": reason,
            }
        )
    emit(form, rows)


def list_devices(form: Output = Format.TABLE) -> None:
    """List the chips and cost models."""
    import cost_models

    rows = [
        {
            "device": name,
            "chip": device.chip,
            "model": device.model,
            "describes": device.describes,
            "omitted": device.omitted,
        }
        for name, device in cost_models.devices().items()
    ]
    emit(form, rows, [{key: row[key] for key in ("device", "chip", "model", "describes")} for row in rows])

"""The devices as a page: made from their files, never written by hand.

python -m cost_models.table > docs/devices.md
"""

from __future__ import annotations

from collections import Counter

from cost_models.device import Device, devices

_HEAD = """# Devices

Made from the files in `cost_models/devices`, by `python -m cost_models.table`. `limits` is a chip without
an energy model; the others name the model that reads the constants. Grades count the constants by where
they come from. A band is what the true figure may be, as factors of the estimate. `msenas devices` lists
the same; `--device` also takes a file of your own.
"""
_COLUMNS = ("device", "what it is", "chip", "model", "constants by grade", "energy band", "latency band")


def markdown() -> str:
    """The page `docs/devices.md`."""
    found = list(devices().values())
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_row(device) for device in found)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([_HEAD, table, "\n## What figures leave out\n", *map(_omitted, found)])


def _row(device: Device) -> tuple[str, ...]:
    grades = Counter(constant.grade for constant in device.constants.values())
    counted = ", ".join(f"{count} {grade}" for grade, count in sorted(grades.items()))
    bands = (_band(device, "energy"), _band(device, "latency"))
    return (f"`{device.name}`", device.describes, device.chip, device.model, counted, *bands)


def _band(device: Device, what: str) -> str:
    band = device.band(what)
    return "-" if band is None else f"{band[0]:g} to {band[1]:g}"


def _omitted(device: Device) -> str:
    return f"* `{device.name}`: {'; '.join(device.omitted) or 'nothing stated'}."


if __name__ == "__main__":
    print(markdown())

"""The rules and limits of every chip as a page: made from the functions that check, never written by hand.

python -m cost_models.fit.table > docs/rules.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cost_models.device import Device, load_device
from cost_models.fit import mesh, speck, xylo
from cost_models.fit.rules import demand

RULES: Mapping[str, Sequence[Callable[..., Any]]] = {
    "loihi1": mesh.RULES["loihi1"],
    "loihi2": mesh.RULES["loihi2"],
    "speck2f": speck.RULES,
    "xylo-a2": xylo.RULES,
}
_HEAD = """# What a network must keep to fit a chip

Made from the rules themselves, by `python -m cost_models.fit.table`. `msenas check MODEL.nir --device CHIP`
asks all rules of a chip and lists every finding: what was found, what is allowed, and what to do.
"""
_SPLIT = """## How populations are split over cores

* **Loihi 1**: runs of flattened neurons, as few as the limits allow, and equal ones where these are as few.
  A convolution is cut between channels where that takes no more cores: whole channels store a kernel once.
* **Loihi 2**: dense layers as on Loihi 1. Populations of pure convolutions are cut into tiles by the rule
  of Intel's compiler: columns in runs of a power of two, rows and channels in 2^j and 2^k parts, fewer than
  4,096 neurons, as few tiles as possible. `loihi2-2022` is the older compiler: columns only, 12,000 words.
* **Speck 2f**: one layer a core; a bipartite matching finds the cores.
* **Xylo Audio 2**: everything in one recurrent core.

Cores are numbered in order of execution, and their tiles on the mesh follow the numbers. Relay neurons and
constant sources of the aligned network are counted.

## What is not explained

The rules of Loihi 2 reproduce the printed cores of the MNIST network (5), of all ten layers of YOLO-KP (574)
and of PilotNet's five convolutions (46), and every printed share of synapse memory of YOLO-KP. Two printed
numbers they do not:

| network | printed | reproduced |
| --- | --- | --- |
| PilotNet, dense layer 2560-100 (2022) | 12 cores, 7,253 words | neither |
| Oxford, 200-256-200 (2022) | 5 cores (2 + 3) | only the words of its rows (73, 57, 37) |
"""


def markdown() -> str:
    """The page `docs/rules.md`."""
    devices = {name: load_device(name) for name in RULES}
    limits = [_limits(device) for device in (*devices.values(), load_device("loihi2-2022"))]
    rules = [_rules(device) for device in devices.values()]
    return "\n".join([_HEAD, "## Rules\n", *rules, _SPLIT, *limits])


def _rules(device: Device) -> str:
    rows = [f"| `{rule.__name__}` | {demand(rule)} |" for rule in RULES[device.name]]
    head = f"### {device.name}\n\n{device.describes}.\n"
    return "\n".join([head, "| rule | demand |", "| --- | --- |", *rows, ""])


def _limits(device: Device) -> str:
    rows = [
        f"| `{key}` | {_value(constant.value)} | {constant.scope} | {constant.grade} | {constant.source} |"
        for key, constant in device.constants.items()
    ]
    head = f"## Constants of {device.name}\n\n{device.note}\n"
    left_out = f"\nLeft out: {'; '.join(device.omitted)}.\n"
    columns = ["| constant | value | scope | grade | source |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([head, *columns, *rows, left_out])


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    return f"{value:g}" if value != int(value) else f"{int(value):,}"


if __name__ == "__main__":
    print(markdown(), end="")

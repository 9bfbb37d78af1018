"""`msenas init`: a configuration written from the models that read it."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from msenas_hw.cli.output import say

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_WIDTH = 100
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_ROLE = re.compile(r"^Section `\[[\w.]+\]`(: | of a configuration\.)")


def init(
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="NAME|FILE.npz", help="Data set of the experiment.", show_default=False
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Cost model, whose chip must hold the network.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write; by default stdout.", show_default=False),
    ] = None,
) -> None:
    """Write a configuration with every key, what it means and its default, to edit and to search with."""
    from targets.errors import ConfigError
    from targets.files import replacing

    if output is not None and output.exists():
        raise ConfigError(f"--output {output}: exists already; give another name, or remove it")
    if output is not None and not output.parent.is_dir():
        raise ConfigError(f"--output {output}: folder {output.parent} does not exist; make it first")
    text = template({"data": _data(data), "budget": _budget(device)})
    if output is None:
        sys.stdout.write(text)
        return
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"wrote {output}; search with: msenas search {output} --run runs/{output.stem}")


def template(values: Mapping[str, Mapping[str, Any]]) -> str:
    """A TOML configuration of the defaults with `{section: {key: value}}` on top, each key explained.

    Keys without a default stand in a comment.
    """
    from msenas_hw.config import Config

    lines = [
        "# An experiment: msenas search THIS.toml --run FOLDER",
        "# A key that is left out has its default.",
    ]
    for name, field in Config.model_fields.items():
        model = field.annotation
        lines += ["", *_commented(_summary(model)), f"[{name}]"]
        lines += _keys(model, values.get(name, {}))
    return "\n".join(lines) + "\n"


def _keys(model: Any, values: Mapping[str, Any]) -> Iterator[str]:
    from msenas_hw.config import Config

    told = attributes(model)
    section = next(field for field in Config.model_fields.values() if field.annotation is model)
    defaults = section.get_default(call_default_factory=True).model_dump(mode="json")
    for key, field in model.model_fields.items():
        allowed = _allowed(field)
        yield from ("", *_commented(told.get(key, "")), *_commented(f"allowed: {allowed}" if allowed else ""))
        value = values.get(key, defaults[key])
        bare = value is None or value == {}
        yield f"# {key} = {'{}' if value == {} else '...'}" if bare else f"{key} = {_toml(value)}"


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the section `Attributes` of a docstring says of each key, on one line."""
    _, _, text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        begins = re.match(r"^([a-z_]\w*(?:, [a-z_]\w*)*): (.*)", line)
        if begins:
            names = begins[1].split(", ")
        for name in names:
            found[name] = f"{found.get(name, '')} {begins[2] if begins else line.strip()}".strip()
    return {name: said.rstrip(".") for name, said in found.items()}


def _summary(model: Any) -> str:
    """What a docstring says before its attributes."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")[0]
    first = " ".join(text.strip().partition("\n\n")[0].split())
    said = _ROLE.sub("", first)
    return said[:1].upper() + said[1:] if said else said


def _allowed(field: FieldInfo) -> str:
    """Words and bounds that a key allows."""
    words = list(dict.fromkeys(_words(field.annotation)))
    bounds = [
        f"{said} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, said in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return "; ".join(part for part in (" | ".join(map(str, words)), ", ".join(bounds)) if part)


def _words(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for inner in get_args(annotation):
        yield from _words(inner)


def _commented(text: str) -> list[str]:
    import textwrap

    plain = text.replace("`", "")
    return [f"# {line}" for line in textwrap.wrap(plain, _WIDTH, break_on_hyphens=False)]


def _toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    import tomli_w

    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()


def _data(name: str | None) -> dict[str, Any]:
    """The keys that a data set needs."""
    from msenas_hw.data.catalogue import SETS
    from targets.errors import ConfigError

    if name is None:
        return {}
    if name.endswith(".npz"):
        return {"name": name}
    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"--data {name!r}: is not known, allowed {', '.join(SETS)} or FILE.npz{hint}")
    return {"name": name} if SETS[name].kind == "images" else {"name": name, "encoding": "events"}


def _budget(device: str | None) -> dict[str, Any]:
    """The keys that a device needs."""
    from cost_models import devices, load_device
    from targets.errors import ConfigError

    if device is None:
        return {}
    if load_device(device).model == "limits":
        priced = [name for name, one in devices().items() if one.chip == device and one.model != "limits"]
        allowed = ", ".join(priced) or "a cost model"
        raise ConfigError(
            f"--device {device}: has limits and no energy model; allowed {allowed} "
            f"(see: msenas devices), with chip = {device!r} in [budget] for its limits"
        )
    return {"device": device}

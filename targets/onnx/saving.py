"""A model and the weights beside it, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path

from onnx import ModelProto, helper

from targets.files import destination, replacing
from targets.onnx.sidefile import SideFile, pointed


def write(path: Path, model: ModelProto, side: SideFile | None, notes: Mapping[str, str]) -> None:
    """Replace the file at `path`; weights of `side` go to a file named after it and after their content.

    An older model keeps its own weights until it is replaced, so that no moment leaves half a network.

    Args:
        notes: more entries of `metadata_props`.

    Raises:
        OSError: a file cannot be written.
        ConfigError: `path` is no regular file, or a link to itself.
    """
    # The weights lie beside the model itself where `path` is a link.
    path = destination(path)
    if side is None:
        _write_model(path, model, notes)
        _remove_weights(path, keep="")
        return
    beside = path.with_name(side.name_beside(path))
    there = beside.exists()
    try:
        with replacing(beside) as temporary:
            shutil.copyfile(side.path, temporary)
        _write_model(path, pointed(model, beside.name), notes)
    except BaseException:
        if not there:
            beside.unlink(missing_ok=True)
        raise
    _remove_weights(path, keep=beside.name)


def _write_model(path: Path, model: ModelProto, notes: Mapping[str, str]) -> None:
    more = ModelProto()
    helper.set_model_props(more, dict(notes))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(model.SerializeToString())
        # Messages one after the other are one message: repeated fields join, nothing is copied.
        file.write(more.SerializeToString())


def _remove_weights(path: Path, keep: str) -> None:
    """Weights of a model that stood at `path` before."""
    for other in path.parent.glob(f"{escape(path.name)}.*.weights"):
        if other.name != keep:
            other.unlink(missing_ok=True)

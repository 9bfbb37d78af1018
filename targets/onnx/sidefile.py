"""Weights in a file beside the model: a protobuf message ends at 2 GiB."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto

# onnxruntime maps the file into memory, which works in pages.
_PAGE = 4096
_NAME = "weights"


class SideFile:
    """Arrays one after the other in a temporary folder, which goes with this object.

    Attributes:
        folder: where the file lies; a model there finds its weights.

    Raises:
        OSError: the folder cannot be made; it names a path and TMPDIR, which chooses where.
    """

    def __init__(self) -> None:
        with _named():
            self.folder = Path(tempfile.mkdtemp(prefix="msenas-onnx-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._digest = hashlib.sha256()
        self._bytes = 0

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / _NAME

    def put(self, name: str, value: NDArray[Any], kind: int) -> TensorProto:
        """Append an array; the initializer of ONNX type `kind` that points to it.

        Raises:
            OSError: the file cannot be written, such as on a full disk; it names the file and TMPDIR.
        """
        content = np.ascontiguousarray(value)
        padding = bytes(-self._bytes % _PAGE)
        with _named(self.path), self.path.open("ab") as file:
            for part in (padding, content.data.cast("B") if content.size else b""):
                file.write(part)
                self._digest.update(part)
        offset = self._bytes + len(padding)
        self._bytes = offset + content.nbytes
        tensor = TensorProto(
            name=name,
            data_type=kind,
            dims=value.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, said in (("location", _NAME), ("offset", offset), ("length", content.nbytes)):
            tensor.external_data.add(key=key, value=str(said))
        return tensor

    def name_beside(self, model: Path) -> str:
        """The name under which the file stands beside `model`: it changes with the content."""
        return f"{model.name}.{self._digest.hexdigest()[:16]}.weights"


@contextmanager
def _named(path: Path | None = None) -> Iterator[None]:
    """Errors of the system name what they failed on, `path` where they don't, and how to go elsewhere."""
    try:
        yield
    except OSError as error:
        said = f"{error.strerror or error} (weights too large for the model; TMPDIR chooses their folder)"
        raise OSError(error.errno, said, error.filename or (path and str(path))) from error


def initializers(model: ModelProto) -> Iterator[TensorProto]:
    """Those of the graph and of the Scan's body."""
    bodies = [a.g for node in model.graph.node for a in node.attribute if a.name == "body"]
    graphs: list[GraphProto] = [model.graph, *bodies]
    for graph in graphs:
        yield from graph.initializer


def pointed(model: ModelProto, name: str) -> ModelProto:
    """A copy of `model` whose external weights lie in the file `name`."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for tensor in initializers(copy):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    return copy

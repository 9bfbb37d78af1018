"""What the options ask for, as ONNX models: arithmetic, precision, form, opset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from targets.checks import check_input
from targets.errors import DataError
from targets.graph.dynamics import spike_rule
from targets.graph.graph import SpikingGraph
from targets.onnx.blocked import block_size, blocked, complete
from targets.onnx.body import Body
from targets.onnx.chunk import chunk_model
from targets.onnx.counting import Place, places
from targets.onnx.fixed_form import fixed_body, input_limit
from targets.onnx.float_form import float_body
from targets.onnx.metadata import metadata
from targets.onnx.operators import fused, library
from targets.onnx.options import OnnxOptions
from targets.onnx.precision import LIMITS, as_held, products_of, tensor_cores
from targets.onnx.scan import scan_model
from targets.onnx.session import open_session
from targets.onnx.sidefile import SideFile
from targets.onnx.stages import folded_bytes


@dataclass(frozen=True)
class Key:
    """A model: recorded nodes, with states or without, steps of a call (None: a Scan of any), samples.

    A `local` one is for this machine only and never written: on the CPU with convolutions in its blocks and
    operators of our own, where `folded` with dense layers beside the Scan that run once for all steps, and
    where `single` for one sample only.
    """

    record: frozenset[str]
    states: bool
    steps: int | None
    batch: int | None
    local: bool = False
    folded: bool = False
    single: bool = False


class Made(NamedTuple):
    """A model, where weights lie that it cannot hold, and how to open it (`session.open_session`).

    Attributes:
        places: of the nodes in the output COUNTS.
        float_counts: whether some counts are sums in float32.
    """

    model: ModelProto
    side: SideFile | None
    optimised: bool = False
    library: str | None = None
    places: Mapping[str, Place] = MappingProxyType({})
    float_counts: bool = True


class Compiler:
    """Models of one network.

    Attributes:
        graph: with the weights that the models hold.
        many: whether a neuron may spike many times in a step.
        tf32: whether TF32 loses nothing in them.
        folded_bytes: what a folded model keeps for all steps, a step and sample; 0 where nothing folds.
    """

    def __init__(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        self.graph, self._options = graph, options
        self.tf32 = tensor_cores(graph, options.precision)
        # The CPU has no TF32, so there only integer products ask for integers.
        whole = options.precision == "int8" or (self.tf32 and options.provider != "cpu")
        self._whole: int | None = LIMITS[options.precision] if whole else None
        self._least = 0
        fixed = options.arithmetic == "fixed"
        self.folded_bytes = 0 if fixed or options.form == "gpu" else folded_bytes(graph)
        self._body: Callable[[Collection[str], bool], Body]
        cpu = options.provider == "cpu" and not fixed and options.precision == "float32"
        self._block = block_size() if cpu else 1
        rules = [spike_rule(graph, name) for name in graph.populations]
        self.many = any(rule is not None and rule.many for rule in rules)
        self._library = library() if cpu and not any(rules) else None
        if fixed:
            self._fixed(graph, options)
        else:
            self._float(graph, options)

    def _fixed(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        program = options.program or _lowered(graph)
        self._whole = input_limit(program)
        self._least = -self._whole
        counts, inline = options.counts, options.inline_bytes
        self._body = lambda record, states: fixed_body(program, record, states, counts, inline)

    def _float(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        shown = options.calibration
        ranges = _ranges(graph, shown) if options.precision == "int8" and shown is not None else {}
        products = products_of(graph, options.precision, ranges)
        self.graph = as_held(graph, products)
        counts, inline = options.counts, options.inline_bytes
        self._body = lambda record, states: float_body(graph, record, states, counts, products, inline)

    def model(self, key: Key) -> Made:
        """The model of `key`."""
        options = self._options
        body = self._body(sorted(key.record), key.states)
        if key.local:
            body = blocked(body, self._block)
            optimised = complete(body)
            if self._library is not None:
                body = fused(body, self._block)
            made = scan_model(body, {}, options.opset, key.folded, key.single)
            float_counts = not all(out.own for out in (*body.counted, *body.counted_inputs))
            return Made(made, body.side, optimised, self._library, places(body), float_counts)
        said = metadata(self.graph, options.arithmetic, body, options.precision)
        if key.steps is None:
            return Made(scan_model(body, said, options.opset), body.side)
        return Made(chunk_model(body, key.steps, key.batch, said, options.opset), body.side)

    def checked(self, x: NDArray[np.generic], record: Collection[str]) -> NDArray[np.float32]:
        """`x` as float32.

        Raises:
            DataError: wrong shape or type, NaN, an unknown node, or values that the arithmetic or the
                precision does not hold.
        """
        found = check_input(self.graph, x, record, single=True)
        if self._whole is not None:
            _check_whole(found, self.graph.inputs[0], self._least, self._whole)
        return np.ascontiguousarray(found, np.float32)


def _lowered(graph: SpikingGraph) -> Any:
    # Here, so that the float form does not wait for the chip's modules.
    from targets.loihi.lower import lower

    return lower(graph)


def _ranges(graph: SpikingGraph, x: NDArray[np.generic]) -> dict[str, tuple[float, float]]:
    """The least and the largest value of each convolution of `graph` run on `x`."""
    shown = check_input(graph, x, (), single=True).astype(np.float32)
    names = [n for n, node in graph.nodes.items() if isinstance(node, nir.Conv1d | nir.Conv2d)]
    if not names:
        return {}
    body = float_body(graph, names, counts=False)
    session = open_session(scan_model(body, {}), "cpu", side=body.side)
    found = dict.fromkeys(names, (0.0, 0.0))
    for at in range(shown.shape[1]):
        values = session.arrays({graph.inputs[0]: np.ascontiguousarray(shown[:, at : at + 1])})
        for name, (low, high) in found.items():
            value = values[f"{name}/spikes"]
            found[name] = min(low, float(value.min())), max(high, float(value.max()))
    return found


def _check_whole(x: NDArray[np.generic], name: str, least: int, limit: int) -> None:
    values = x.astype(np.float64)
    if not (values == np.rint(values)).all():
        raise DataError(
            f"input {name!r}: holds values that are no integers, allowed integers in fixed point, in int8 "
            "and on tensor cores"
        )
    if values.min() < least:
        raise DataError(f"input {name!r}: holds {values.min():g}, allowed from {least} on")
    if values.max() > limit:
        raise DataError(
            f"input {name!r}: holds {values.max():g}, allowed up to {limit}: larger sums are not exact"
        )

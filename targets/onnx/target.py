"""The ONNX target: onnxruntime on the CPU, CUDA or TensorRT, in float32 or a lowered network's integers."""

from __future__ import annotations

from typing import Any

from targets.checks import check_graph
from targets.graph.graph import SpikingGraph
from targets.onnx.executable import OnnxExecutable
from targets.onnx.options import ARITHMETICS, OnnxOptions
from targets.onnx.session import provider_missing
from targets.target import Refusal


class OnnxTarget:
    """NIR to ONNX, run by onnxruntime."""

    name = "onnx"
    describes = "onnxruntime, float32 or a lowered network's integers"
    arithmetics = ARITHMETICS
    options: type[Any] = OnnxOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot run in float32."""
        return check_graph(graph, any_profile=True)

    def compile(self, graph: SpikingGraph, options: OnnxOptions) -> OnnxExecutable:
        """The graph as an ONNX model with an open session.

        Raises:
            GraphError: a fixed-point sum would leave float32's exact integers.
            UnsupportedNodeError: no chip holds the graph, in fixed point.
            TargetUnavailableError: the provider does not load.
            OSError: weights beside the model find no room in the folder that TMPDIR names.
        """
        return OnnxExecutable(graph, options)

    def unavailable(self) -> str | None:
        """Why the CPU provider is missing, or None."""
        return provider_missing("cpu")

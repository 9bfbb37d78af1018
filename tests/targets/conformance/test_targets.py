"""The house's targets pass the suite."""

from __future__ import annotations

from targets.conformance import TargetConformance
from targets.conformance.cases import CASES, CIRCUITS
from targets.loihi.target import LoihiTarget
from targets.onnx.target import OnnxTarget
from targets.reference.target import ReferenceTarget


class TestReference(TargetConformance):
    target = ReferenceTarget()
    must_run = CASES


class TestOnnx(TargetConformance):
    target = OnnxTarget()
    must_run = CASES


class TestLoihi(TargetConformance):
    target = LoihiTarget()
    must_run = (*CIRCUITS, "LIF", "IF", "CubaLIF", "Conv2d", "Delay")

"""Options of the ONNX target."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from numpy.typing import NDArray

from targets.errors import ConfigError
from targets.loihi.program import Program
from targets.onnx.body import EXACT_COUNT, INLINE_BYTES, OPSET, OPSETS
from targets.onnx.precision import PRECISIONS
from targets.onnx.session import PROVIDERS

ARITHMETICS = ("float32", "fixed")
FORMS = ("portable", "gpu")


@dataclass(frozen=True, eq=False)
class OnnxOptions:
    """Options of the ONNX target.

    Attributes:
        arithmetic: "float32" or "fixed".
        program: the lowered network of "fixed"; None lowers the graph.
        precision: of the weights in float32 arithmetic (`targets.onnx.precision`); all but "float32" may
            change spikes (`targets.onnx.flips`).
        calibration: input [T, B, *shape] that shows "int8" how large the sums of convolutions become.
        form: "portable" (one Scan, any T and B) or "gpu" (`steps` unrolled, static shapes, states as
            inputs and outputs, no control flow).
        steps, batch: steps and samples of one call of the gpu form.
        counts: whether spikes of every neuron are counted; without, `Run.spike_counts` is empty. A call of
            the gpu form counts up to 2^24 exactly: steps * batch is no larger.
        opset: of the model, 18 to 21.
        inline_bytes: weights beyond so many bytes go to a file beside the model.
        provider: "cpu", "cuda" or "tensorrt"; never exchanged in silence.
        cuda_graph: replay the gpu form as one captured graph of kernels, on cuda and tensorrt.
        fallback: run on the CPU where the provider does not load; `Run.ran_on` then says so.
        workers: threads, each running blocks of samples.
    """

    arithmetic: str = "float32"
    program: Program | None = None
    precision: str = "float32"
    calibration: NDArray[Any] | None = None
    form: str = "portable"
    steps: int | None = None
    batch: int | None = None
    counts: bool = True
    opset: int = OPSET
    inline_bytes: int = INLINE_BYTES
    provider: str = "cpu"
    cuda_graph: bool = True
    fallback: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        choices: dict[str, tuple[object, ...]] = {
            "arithmetic": ARITHMETICS,
            "precision": PRECISIONS,
            "form": FORMS,
            "opset": OPSETS,
            "provider": tuple(PROVIDERS),
        }
        for key, allowed in choices.items():
            found = getattr(self, key)
            if not isinstance(found, type(allowed[0])) or found not in allowed:
                raise ConfigError(f"onnx: {key} is {found!r}, allowed {', '.join(map(str, allowed))}")
        self._check_whole("inline_bytes", 0)
        self._check_whole("workers", 1)
        self._check_arithmetic()
        self._check_call()

    def _check_arithmetic(self) -> None:
        if not isinstance(self.program, Program | None):
            found = type(self.program).__name__
            raise ConfigError(f"onnx: program is a {found}, allowed a targets.loihi Program or None")
        if self.program is not None and self.arithmetic != "fixed":
            raise ConfigError("onnx: a program is given, but arithmetic is 'float32'; use arithmetic='fixed'")
        if self.precision != "float32" and self.arithmetic == "fixed":
            raise ConfigError(f"onnx: precision is {self.precision!r}, but integers have none; leave it out")
        if self.precision == "int8" and self.calibration is None:
            raise ConfigError("onnx: precision is 'int8' without calibration; give an input of the network")

    def _check_call(self) -> None:
        for key in ("steps", "batch"):
            if self.form == "gpu":
                self._check_whole(key, 1, " with form='gpu'")
            elif (found := getattr(self, key)) is not None:
                raise ConfigError(f"onnx: {key} is {found}, but the portable form takes any; use form='gpu'")
        if self.counts and self.steps and self.batch and self.steps * self.batch > EXACT_COUNT:
            raise ConfigError(
                f"onnx: steps * batch is {self.steps * self.batch}, allowed up to {EXACT_COUNT} with counts, "
                "which are sums in float32; take fewer or counts=False"
            )

    def _check_whole(self, key: str, least: int, where: str = "") -> None:
        found = getattr(self, key)
        if isinstance(found, bool) or not isinstance(found, Integral) or found < least:
            raise ConfigError(f"onnx: {key} is {found!r}, allowed a whole number >= {least}{where}")

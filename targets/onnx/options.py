"""Options of the ONNX target."""

from __future__ import annotations

from dataclasses import dataclass

from targets.errors import ConfigError
from targets.loihi.program import Program
from targets.onnx.session import PROVIDERS

ARITHMETICS = ("float32", "fixed")
FORMS = ("portable", "gpu")


@dataclass(frozen=True)
class OnnxOptions:
    """Options of the ONNX target.

    Attributes:
        arithmetic: "float32" or "fixed".
        program: the lowered network of "fixed"; None lowers the graph.
        form: "portable" (one Scan, any T and B) or "gpu" (`steps` unrolled, static shapes, states as
            inputs and outputs, no control flow).
        steps, batch: steps and samples of one call of the gpu form.
        counts: whether spikes of every neuron are counted; without, `Run.spike_counts` is empty.
        provider: "cpu", "cuda" or "tensorrt"; never exchanged in silence.
        fallback: run on the CPU where the provider does not load; `Run.ran_on` then says so.
        workers: threads, each running blocks of samples.
    """

    arithmetic: str = "float32"
    program: Program | None = None
    form: str = "portable"
    steps: int | None = None
    batch: int | None = None
    counts: bool = True
    provider: str = "cpu"
    fallback: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        choices = {"arithmetic": ARITHMETICS, "form": FORMS, "provider": tuple(PROVIDERS)}
        for key, allowed in choices.items():
            found = getattr(self, key)
            if found not in allowed:
                raise ConfigError(f"onnx: {key} is {found!r}, allowed {', '.join(allowed)}")
        if self.workers < 1:
            raise ConfigError(f"onnx: workers is {self.workers}, allowed >= 1")
        if self.program is not None and self.arithmetic != "fixed":
            raise ConfigError("onnx: a program is given, but arithmetic is 'float32'; use arithmetic='fixed'")
        for key in ("steps", "batch"):
            self._check_size(key, getattr(self, key))

    def _check_size(self, key: str, found: object) -> None:
        if self.form == "portable" and found is not None:
            raise ConfigError(f"onnx: {key} is {found}, but the portable form takes any; use form='gpu'")
        if self.form == "gpu" and not (isinstance(found, int) and found >= 1):
            raise ConfigError(f"onnx: {key} is {found}, allowed a whole number >= 1 with form='gpu'")

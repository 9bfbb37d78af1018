"""An onnxruntime session that runs where it was asked to, or says why not.

onnxruntime falls back to the CPU in silence when a provider fails to load; here that is an error
unless a fallback was asked for, and then `ran_on` says so.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto

from targets.errors import TargetUnavailableError


@dataclass(frozen=True)
class Provider:
    """How onnxruntime calls a provider, its options, and where it keeps values."""

    name: str
    settings: Mapping[str, str]
    device: str


# TF32 rounds weights to 10 bits and flips spikes. DEFAULT is cuDNN's implicit GEMM; a searched
# algorithm may be Winograd's, which does not keep integer sums exact.
_CUDA = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", {}, "cpu"),
    "cuda": Provider("CUDAExecutionProvider", _CUDA, "cuda"),
    "tensorrt": Provider("TensorrtExecutionProvider", {}, "cuda"),
}
# An array, or an OrtValue on a device; onnxruntime states no types.
Value = Any


@dataclass(frozen=True)
class Session:
    """An open session.

    Attributes:
        provider: what runs it, a key of `PROVIDERS`.
        fallback: why another provider than the one asked for runs it, or None.
    """

    raw: Any
    provider: str
    fallback: str | None = None

    @property
    def ran_on(self) -> str:
        """What runs, in words."""
        said = f"onnxruntime {onnxruntime.__version__} {self.provider.upper()}"
        return f"{said}, fallback ({self.fallback})" if self.fallback else said

    def call(self, fed: Mapping[str, Value]) -> dict[str, Any]:
        """One run over bound inputs and outputs; the outputs stay on the device, as OrtValue."""
        binding = self.raw.io_binding()
        for name, value in fed.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, value)
        names = [output.name for output in self.raw.get_outputs()]
        for name in names:
            binding.bind_output(name, PROVIDERS[self.provider].device)
        self.raw.run_with_iobinding(binding)
        return dict(zip(names, binding.get_outputs(), strict=True))

    def arrays(self, fed: Mapping[str, Value]) -> dict[str, Any]:
        """One run from arrays to arrays. On the CPU there is nothing to bind, and a plain run is faster."""
        if PROVIDERS[self.provider].device != "cpu":
            return {name: value.numpy() for name, value in self.call(fed).items()}
        names = [output.name for output in self.raw.get_outputs()]
        return dict(zip(names, self.raw.run(names, dict(fed)), strict=True))

    def placement(self) -> dict[str, dict[str, int]]:
        """`{provider: {operator: nodes}}`, after onnxruntime's own optimisation."""
        found: dict[str, Counter[str]] = {}
        for part in self.raw.get_provider_graph_assignment_info():
            found.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
        return {name: dict(sorted(count.items())) for name, count in found.items()}


def open_session(model: ModelProto | bytes, provider: str, fallback: bool = False) -> Session:
    """A session on `provider` ("cpu" | "cuda" | "tensorrt"), one thread.

    Raises:
        TargetUnavailableError: the provider did not load, with the loader's reason; not with `fallback`,
            where the CPU takes its place.
    """
    content = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        return Session(_opened(content, provider), provider)
    except TargetUnavailableError as error:
        if not fallback or provider == "cpu":
            raise
        return Session(_opened(content, "cpu"), "cpu", str(error))


def _opened(content: bytes, provider: str) -> Any:
    missing = provider_missing(provider)
    if missing is not None:
        raise TargetUnavailableError(missing)
    if provider == "tensorrt":
        # It has no option of its own for TF32; cuBLAS reads this before the first session.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    wanted = PROVIDERS[provider]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=[(wanted.name, dict(wanted.settings))]
            )
        # onnxruntime's errors share no base class below Exception.
        except Exception as error:
            raise TargetUnavailableError(f"onnx: {wanted.name} did not open the model: {error}") from error
    found = session.get_providers()[0]
    if found != wanted.name:
        said = "; ".join(str(w.message) for w in caught) or load_error(wanted.name) or "no device answered"
        raise TargetUnavailableError(
            f"onnx: asked for {wanted.name}, onnxruntime would run on {found}: {said}"
        )
    return session


def provider_missing(provider: str) -> str | None:
    """Why this installation has no such provider, or None where it claims to have one."""
    wanted = PROVIDERS[provider].name
    if not hasattr(onnxruntime, "get_available_providers"):
        # What uninstalling one of two wheels leaves behind.
        return "onnx: onnxruntime is an empty module; pip install --force-reinstall onnxruntime"
    available = onnxruntime.get_available_providers()
    if wanted in available:
        return None
    both = _installed("onnxruntime") and _installed("onnxruntime-gpu")
    advice = (
        "onnxruntime and onnxruntime-gpu are both installed and hide each other: uninstall both, "
        "then install onnxruntime-gpu"
        if both
        else "pip uninstall onnxruntime, then pip install onnxruntime-gpu; or use provider='cpu'"
    )
    return f"onnx: this onnxruntime has no {wanted}, only {', '.join(available)}; {advice}"


def load_error(wanted: str) -> str | None:
    """What the dynamic loader says about the provider's library; None where it loads."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    library = folder / f"libonnxruntime_providers_{wanted.removesuffix('ExecutionProvider').lower()}.so"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return None


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True

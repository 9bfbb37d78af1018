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
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from onnx import ModelProto

from targets.errors import TargetUnavailableError
from targets.onnx.sidefile import SideFile


@dataclass(frozen=True)
class Provider:
    """How onnxruntime calls a provider, its options, where it keeps values, and how it captures graphs."""

    name: str
    settings: Mapping[str, str]
    device: str
    capture: Mapping[str, str] = field(default_factory=dict)


# TF32 rounds weights to 10 bits and flips spikes. DEFAULT is cuDNN's implicit GEMM; a searched
# algorithm may be Winograd's, which does not keep integer sums exact.
_CUDA = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", {}, "cpu"),
    "cuda": Provider("CUDAExecutionProvider", _CUDA, "cuda", {"enable_cuda_graph": "1"}),
    "tensorrt": Provider("TensorrtExecutionProvider", {}, "cuda", {"trt_cuda_graph_enable": "True"}),
}
# An array, or an OrtValue on a device; onnxruntime states no types.
Value = Any


@dataclass(frozen=True)
class Session:
    """An open session.

    Attributes:
        provider: what runs it, a key of `PROVIDERS`.
        fallback: why another provider than the one asked for runs it, or None.
        operators: whether it has operators of our own.
    """

    raw: Any
    provider: str
    fallback: str | None = None
    operators: bool = False

    @property
    def ran_on(self) -> str:
        """What runs, in words."""
        said = f"onnxruntime {onnxruntime.__version__} {self.provider.upper()}"
        said += ", C kernels" if self.operators else ""
        return f"{said}, fallback ({self.fallback})" if self.fallback else said

    def call(self, fed: Mapping[str, Value]) -> dict[str, Any]:
        """One run over bound inputs and outputs; the outputs stay on the device, as OrtValue."""
        binding = self.raw.io_binding()
        for name, value in fed.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, PROVIDERS[self.provider].device)
        self.raw.run_with_iobinding(binding)
        return dict(zip(self._outputs, binding.get_outputs(), strict=True))

    def arrays(self, fed: Mapping[str, Value]) -> dict[str, Any]:
        """One run from arrays to arrays. On the CPU there is nothing to bind, and a plain run is faster."""
        if PROVIDERS[self.provider].device != "cpu":
            return {name: value.numpy() for name, value in self.call(fed).items()}
        return dict(zip(self._outputs, self.raw.run(self._outputs, fed), strict=True))

    @cached_property
    def _outputs(self) -> list[str]:
        return [output.name for output in self.raw.get_outputs()]

    def placement(self) -> dict[str, dict[str, int]]:
        """`{provider: {operator: nodes}}`, after onnxruntime's own optimisation."""
        found: dict[str, Counter[str]] = {}
        for part in self.raw.get_provider_graph_assignment_info():
            found.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
        return {name: dict(sorted(count.items())) for name, count in found.items()}


def open_session(
    model: ModelProto,
    provider: str,
    fallback: bool = False,
    side: SideFile | None = None,
    tf32: bool = False,
    capture: bool = False,
    optimised: bool = False,
    library: str | None = None,
) -> Session:
    """A session on `provider` ("cpu" | "cuda" | "tensorrt"), one thread.

    Args:
        side: where weights lie that the model does not hold.
        tf32: let products round their inputs to TF32.
        capture: let the provider capture a graph of kernels; `Buffers` then makes the calls.
        optimised: onnxruntime has nothing left to optimise, and opens in half the time.
        library: of operators that the model has beside onnxruntime's own.

    Raises:
        TargetUnavailableError: the provider did not load, with the loader's reason; not with `fallback`,
            where the CPU takes its place.
    """
    content: bytes = model.SerializeToString()
    how = _How(tf32, capture, optimised, library)
    if side is not None:
        # A path, so that onnxruntime finds the weights; the loaded session needs the model no more.
        with NamedTemporaryFile(dir=side.folder, suffix=".onnx") as file:
            file.write(content)
            file.flush()
            return _session(file.name, provider, fallback, how)
    return _session(content, provider, fallback, how)


class _How(NamedTuple):
    """See `open_session`."""

    tf32: bool
    capture: bool
    optimised: bool
    library: str | None


def _session(content: bytes | str, provider: str, fallback: bool, how: _How) -> Session:
    operators = how.library is not None
    try:
        return Session(_opened(content, provider, how), provider, operators=operators)
    except TargetUnavailableError as error:
        if not fallback or provider == "cpu":
            raise
        return Session(_opened(content, "cpu", how), "cpu", str(error), operators)


def _opened(content: bytes | str, provider: str, how: _How) -> Any:
    missing = provider_missing(provider)
    if missing is not None:
        raise TargetUnavailableError(missing)
    wanted = PROVIDERS[provider]
    settings = {**wanted.settings, **(wanted.capture if how.capture else {})}
    if provider == "cuda" and how.tf32:
        settings["use_tf32"] = "1"
    if provider == "tensorrt" and not how.tf32:
        # It has no option of its own for TF32; cuBLAS reads this before the first session.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    if how.library is not None:
        options.register_custom_ops_library(how.library)
    if how.optimised:
        # A node soon after what it reads, while that is near the core.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            session = onnxruntime.InferenceSession(content, options, providers=[(wanted.name, settings)])
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
    if provider != "cpu" and _installed("onnxruntime") and _installed("onnxruntime-gpu"):
        # Which of the two runs depends on the order in which they came.
        return (
            f"onnx: {wanted}: onnxruntime and onnxruntime-gpu are both installed and overwrite each other; "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
        )
    available = onnxruntime.get_available_providers()
    if wanted in available:
        return None
    return (
        f"onnx: this onnxruntime has no {wanted}, only {', '.join(available)}; pip uninstall onnxruntime, "
        "then pip install onnxruntime-gpu; or use provider='cpu'"
    )


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

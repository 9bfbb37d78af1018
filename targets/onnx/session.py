"""An onnxruntime session that runs where it was asked to, or says why not.

onnxruntime falls back to the CPU in silence when a provider fails to load; here that is an error.
"""

from __future__ import annotations

import ctypes
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnxruntime
from onnx import ModelProto

from targets.errors import TargetUnavailableError

# TF32 rounds weights to 10 bits and flips spikes. DEFAULT is cuDNN's implicit GEMM; a searched
# algorithm may be Winograd's, which does not keep integer sums exact.
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}),
}


def open_session(model: ModelProto | bytes, provider: str) -> Any:
    """A session on `provider` ("cpu" | "cuda"), one thread.

    Raises:
        TargetUnavailableError: the provider did not load; with the loader's reason.
    """
    wanted, settings = PROVIDERS[provider]
    missing = provider_missing(provider)
    if missing is not None:
        raise TargetUnavailableError(missing)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            session = onnxruntime.InferenceSession(content, options, providers=[(wanted, settings)])
        # onnxruntime's errors share no base class below Exception.
        except Exception as error:
            raise TargetUnavailableError(f"onnx: {wanted} did not open the model: {error}") from error
    found = session.get_providers()[0]
    if found != wanted:
        said = "; ".join(str(w.message) for w in caught) or load_error(wanted) or "no device answered"
        raise TargetUnavailableError(f"onnx: asked for {wanted}, onnxruntime would run on {found}: {said}")
    return session


def ran_on(provider: str) -> str:
    """What runs, in words."""
    return f"onnxruntime {onnxruntime.__version__} {provider.upper()}"


def provider_missing(provider: str) -> str | None:
    """Why this installation has no such provider, or None where it claims to have one."""
    wanted = PROVIDERS[provider][0]
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

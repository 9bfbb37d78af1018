"""Let a framework import the files of a folder and run them: FRAMEWORK FOLDER -> RESULTS.json.

Run: python record.py FRAMEWORK FOLDER RESULTS.json, with the environment that `generate.py` of
tests/golden/FRAMEWORK names; nirtorch runs in that of spikingjelly, nir in ours. FOLDER holds
NAME.nir with NAME.npy, float32 spikes [T, B, *input]. A result is {"output": [T, B, n]} or
{"error": text}.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

DT = 1e-4


def norse(graph: Any, batch: int, steps: int) -> Any:
    """The module that Norse makes of a graph."""
    from norse.torch.utils.import_nir import from_nir

    return from_nir(graph, dt=DT)


def snntorch(graph: Any, batch: int, steps: int) -> Any:
    """The module that snnTorch makes of a graph; its step is 1e-4 s."""
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def spikingjelly(graph: Any, batch: int, steps: int) -> Any:
    """The module that SpikingJelly makes of a graph."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=DT)


def nirtorch(graph: Any, batch: int, steps: int) -> Any:
    """The module that nirtorch makes of a graph with its own map of nodes."""
    from nirtorch import nir_to_torch

    return nir_to_torch(graph, {})


def sinabs(graph: Any, batch: int, steps: int) -> Any:
    """The module that Sinabs makes of a graph."""
    from sinabs.nir import from_nir

    return from_nir(graph, batch_size=batch)


def rockpool(graph: Any, batch: int, steps: int) -> Any:
    """The module that Rockpool makes of a graph."""
    from rockpool.nn.modules.torch.nir import from_nir

    return from_nir(graph)


def step_by_step(net: Any, x: torch.Tensor) -> list[np.ndarray]:
    """Outputs of a module that takes a step and a state."""
    state, outputs = None, []
    for now in x:
        out, state = net(now, state)
        outputs.append(out.numpy())
    return outputs


def squeezed(net: Any, x: torch.Tensor) -> np.ndarray:
    """Outputs of a module that takes [B * T, ...]."""
    steps, batch, *shape = x.shape
    out = net(x.swapaxes(0, 1).reshape(-1, *shape))
    out = out[0] if isinstance(out, tuple) else out
    return out.numpy().reshape(batch, steps, *out.shape[1:]).swapaxes(0, 1)


def batched(net: Any, x: torch.Tensor) -> np.ndarray:
    """Outputs of a module that takes [B, T, ...]."""
    out = net(x.swapaxes(0, 1).contiguous())
    return (out[0] if isinstance(out, tuple) else out).numpy().swapaxes(0, 1)


READS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "norse": (norse, step_by_step),
    "snntorch": (snntorch, step_by_step),
    "spikingjelly": (spikingjelly, step_by_step),
    "nirtorch": (nirtorch, step_by_step),
    "sinabs": (sinabs, squeezed),
    "rockpool": (rockpool, batched),
}


def result(framework: str, path: Path) -> dict[str, Any]:
    """What becomes of one file."""
    torch.manual_seed(0)  # some parameters are left as torch draws them
    x = torch.from_numpy(np.load(path.with_suffix(".npy")))
    try:
        graph = nir.read(path)
        if framework == "nir":
            return {"output": [], "nodes": sorted(graph.nodes)}
        load, run = READS[framework]
        with torch.no_grad():
            out = np.stack(list(run(load(graph, x.shape[1], len(x)), x)))
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]}
    if out.shape[:2] != tuple(x.shape[:2]):
        return {"error": f"the output is {list(out.shape)} for an input of {list(x.shape)}"}
    return {"output": np.round(out.astype(float), 6).reshape(*out.shape[:2], -1).tolist()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    framework, folder, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    results = {path.stem: result(framework, path) for path in sorted(folder.glob("*.nir"))}
    target.write_text(json.dumps(results, separators=(",", ":")) + "\n")

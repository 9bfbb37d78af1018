"""The .net file: loaded and run by lava-dl it gives the spikes of the simulator; the rest is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph, TargetUnavailableError, UnsupportedNodeError
from targets.lava.child import run_group
from targets.lava.environment import WORKER, interpreter
from targets.loihi.netx import netx_program, save_netx

RUNNER = Path(__file__).with_name("run_netx.py")


@pytest.fixture(scope="session")
def lava_dl() -> Path:
    """Lava's interpreter, where lava-dl is installed beside it."""
    try:
        python = interpreter()
    except TargetUnavailableError:
        pytest.skip("no Lava environment")
    look = "from importlib.metadata import version; print(version('lava-dl'), version('h5py'))"
    if subprocess.run([python, "-E", "-s", "-c", look], capture_output=True, check=False).returncode:
        pytest.skip("Lava's environment holds no lava-dl; make it anew")
    return python


def chain(nodes: dict[str, nir.NIRNode], **profile: Any) -> SpikingGraph:
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3, **profile})


def lif(*shape: int) -> nir.LIF:
    one = np.ones(shape)
    return nir.LIF(8e-3 * one, 8 * one, 0 * one, one, 0 * one)


def cuba(*shape: int) -> nir.CubaLIF:
    one = np.ones(shape)
    return nir.CubaLIF(
        tau_syn=4e-3 * one,
        tau_mem=8e-3 * one,
        r=8 * one,
        v_leak=0.1 * one,
        v_threshold=one,
        v_reset=0 * one,
        w_in=4 * one,
    )


def dense(seed: int, low: float = -0.5, high: float = 0.7, bias: float = 0.1) -> SpikingGraph:
    rng = np.random.default_rng(seed)
    return chain(
        {
            "in": nir.Input(np.array([9])),
            "w1": nir.Affine(rng.uniform(low, high, (12, 9)), bias * rng.uniform(-1, 1, 12)),
            "n1": lif(12),
            "w2": nir.Linear(rng.uniform(-0.4, 0.8, (7, 12))),
            "n2": cuba(7),
            "w3": nir.Affine(rng.uniform(-0.5, 1.0, (5, 7)), 0.3 * rng.uniform(-1, 1, 5)),
            "n3": nir.IF(1e3 * np.ones(5), np.ones(5), np.zeros(5)),
            "out": nir.Output(np.array([5])),
        }
    )


def convolution(groups: int = 1, padding: Any = (1, 0)) -> SpikingGraph:
    """Non-square images, an uneven window, pooling before the last block."""
    rng = np.random.default_rng(3)
    weight = rng.uniform(-0.3, 0.6, (4, 2 // groups, 3, 2))
    first = nir.Conv2d((6, 5), weight, (1, 1), padding, 1, groups, 0.2 * rng.uniform(-1, 1, 4))
    shape = (4, 6, 4) if padding == (1, 0) else (4, 4, 4)
    return chain(
        {
            "in": nir.Input(np.array([2, 6, 5])),
            "c1": first,
            "n1": lif(*shape),
            "c2": nir.Conv2d(shape[1:], rng.uniform(-0.2, 0.4, (3, 4, 2, 2)), (2, 1), 0, 1, 1, np.zeros(3)),
            "n2": lif(3, shape[1] // 2, 3),
            "flat": nir.Flatten({"input": np.array([3, shape[1] // 2, 3])}, 0, -1),
            "w": nir.Linear(rng.uniform(-0.5, 0.8, (6, 9 * (shape[1] // 2)))),
            "n3": lif(6),
            "out": nir.Output(np.array([6])),
        }
    )


def pooled() -> SpikingGraph:
    rng = np.random.default_rng(5)
    return chain(
        {
            "in": nir.Input(np.array([1, 6, 6])),
            "c": nir.Conv2d((6, 6), rng.uniform(-0.4, 0.8, (2, 1, 3, 3)), 1, 1, 1, 1, np.zeros(2)),
            "n1": lif(2, 6, 6),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flat": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
            "w": nir.Linear(rng.uniform(-0.4, 0.5, (4, 18))),
            "n2": lif(4),
            "out": nir.Output(np.array([4])),
        }
    )


GRAPHS: dict[str, Callable[[], SpikingGraph]] = {
    "dense, both signs": lambda: dense(0),
    "dense, excitatory": lambda: dense(1, 0.0, 0.5),
    "dense, inhibitory beside a bias": lambda: dense(2, -0.2, 0.0, bias=1.5),
    "convolution": convolution,
    "grouped convolution, valid": lambda: convolution(2, "valid"),
    "pooling": pooled,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_lava_dl_computes_the_spikes_of_the_simulator(name: str, lava_dl: Path, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    program = netx_program(graph)
    save_netx(program, tmp_path / "model.net")
    x = (np.random.default_rng(8).random((16, 3, *graph.shapes["in"])) < 0.4).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    files = [str(tmp_path / n) for n in ("model.net", "x.npy", "y.npy")]
    command = [str(lava_dl), "-E", "-s", str(RUNNER), str(WORKER), *files]
    code = run_group(command, 120.0, tmp_path / "log.txt")
    assert code == 0, (tmp_path / "log.txt").read_text()
    run = targets.compile(graph, "loihi", program=program).run(x)
    expected = run.output.reshape(16, 3, -1)
    assert 0 < expected.mean() < 1
    assert (np.load(tmp_path / "y.npy") != expected).sum() == 0


def test_layers_of_the_file(tmp_path: Path) -> None:
    save_netx(netx_program(convolution()), tmp_path / "model.net")
    with h5py.File(tmp_path / "model.net") as file:
        kinds = [file[f"layer/{i}/type"][0].decode() for i in range(len(file["layer"]))]
        assert kinds == ["input", "conv", "conv", "flatten", "dense"]
        assert file["layer/1/padding"][()].tolist() == [1, 0]
        assert file["layer/2/stride"][()].tolist() == [2, 1]
        assert file["layer/1/neuron/iDecay"][()] == 4096
        assert file["layer/1/neuron/vDecay"][()] == 512
    save_netx(netx_program(pooled()), tmp_path / "pooled.net")
    with h5py.File(tmp_path / "pooled.net") as file:
        assert file["layer/3/type"][0] == b"dense"
        assert file["layer/3/weight"].shape == (4, 72)


def test_what_the_file_cannot_hold_is_refused_by_name(
    recurrent_graph: Callable[..., SpikingGraph], tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedNodeError) as caught:
        netx_program(recurrent_graph(1, ("lif", "lif", "cubalif")))
    text = str(caught.value)
    for reason in (
        "'l1': is fed by 'input', 'l2', allowed 'input' alone",
        "'l1': the hop from 'l2' holds 2 steps of delay",
        "'l3': has a bias on its synaptic current",
    ):
        assert reason in text
    nodes = dict(dense(0).nodes)
    with pytest.raises(UnsupportedNodeError, match="'n1': resets softly"):
        netx_program(chain(nodes, reset="subtract"))
    silent = nodes | {"w2": nir.Linear(np.zeros((7, 12)))}
    with pytest.raises(UnsupportedNodeError, match="'n2': all weights from 'n1' are 0"):
        netx_program(chain(silent))
    assert list(tmp_path.iterdir()) == []

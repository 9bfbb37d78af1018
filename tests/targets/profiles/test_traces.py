"""The single LIF of the NIR paper (Pedersen et al. 2024): voltages and spikes that others recorded.

1,000 steps of dt = 0.1 ms; tau 2.5 ms, threshold 0.1. Columns: input, voltage, spikes.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import targets
from targets.loihi.program import FixedHop, FixedPopulation, Program


def trace(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.genfromtxt(shared / f"nir/ref/{name}.csv", delimiter=",")
    assert rows.shape == (1000, 3)
    assert rows[:, 2].sum() == 4
    return rows[:, 0], rows[:, 1], rows[:, 2]


def lif(shared: Path) -> targets.SpikingGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        return targets.load(shared / "nir/lif_norse.nir", profile={"dt": 1e-4})


def run(executable: targets.Executable, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voltage and spikes of the one neuron."""
    found = executable.run(x.astype(np.float32).reshape(-1, 1, 1), states=True)
    (state,), (spikes,) = found.states.values(), found.outputs.values()
    return state["v"].ravel(), spikes.ravel()


def one_late(values: np.ndarray) -> np.ndarray:
    """A chip's clock: a hop takes one step."""
    return np.concatenate([[0], values[:-1]])


def test_norse_in_float32(shared: Path) -> None:
    """Norse writes v + dt / tau * (S - v): another order of the same sum, within float32's rounding."""
    x, voltage, spikes = trace(shared, "lif_norse")
    v, s = run(targets.compile(lif(shared), "reference"), x)
    np.testing.assert_array_equal(s, spikes)
    assert np.abs(v - voltage).max() < 5e-8


def test_lava_in_floating_point(shared: Path) -> None:
    """Lava's float model is the float64 reference one step late, to the last bit."""
    x, voltage, spikes = trace(shared, "lif_lava_cpu_float")
    v, s = run(targets.compile(lif(shared), "reference", arithmetic="float64"), x)
    np.testing.assert_array_equal(one_late(v), voltage)
    np.testing.assert_array_equal(one_late(s), spikes)


def paper_program(graph: targets.SpikingGraph) -> Program:
    """The integers of the paper's own script, paper/01_lif/lif_sim_lava.ipynb.

    It truncates: dv = int(0.04 * 4095) = 163, du = 4095, vth = int(0.1 * 131071) >> 9 = 25 and weight
    int(0.04 * 256) = 10. Threshold to weight is thus 2.5, and tau 25.13 steps in place of 25.
    """
    (name,) = graph.populations
    none = np.zeros((1, 1), np.int64)
    population = FixedPopulation(name, (1,), du=4095, dv=163, vth=25, bias_u=none, bias_v=none, offset=1)
    matrix = csr_matrix(np.array([[10]], np.int32))
    hop = FixedHop("input", name, matrix, exponent=0, delay=0, axonal_delay=0, sign="excitatory")
    return Program(graph, (population,), (hop,), {"input": (1,)}, {"output": name}, 1, ())


@pytest.mark.parametrize("recording", ["lif_lava_cpu_fixed", "lif_lava_loihi_fixed"])
def test_loihi_in_fixed_point(shared: Path, recording: str) -> None:
    """Lava's fixed point and a real Loihi, on the chip's clock.

    Lava's voltage: 0 of 1,000 differ. The chip's: the same but at its four spikes, where the register
    reads 128 (2^7) in place of the reset value 0 for that one step; the step after it reads 0.
    """
    x, voltage, spikes = trace(shared, recording)
    graph = lif(shared)
    v, s = run(targets.compile(graph, "loihi", program=paper_program(graph)), x)
    np.testing.assert_array_equal(one_late(s), spikes)
    differing = np.flatnonzero(one_late(v) != voltage)
    if recording == "lif_lava_cpu_fixed":
        assert differing.size == 0
    else:
        np.testing.assert_array_equal(differing, np.flatnonzero(spikes))
        np.testing.assert_array_equal(voltage[differing], 128)


def test_own_lowering_fires_in_the_same_steps(shared: Path) -> None:
    """The toolkit rounds instead of truncating (dv = 164); the four spikes fall in the same steps."""
    x, _, spikes = trace(shared, "lif_lava_loihi_fixed")
    _, s = run(targets.compile(lif(shared), "loihi"), x)
    np.testing.assert_array_equal(one_late(s), spikes)

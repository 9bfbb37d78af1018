"""torch.nn.Sequential modules as graphs."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from torch import nn

import targets


def neuron(shape: tuple[int, ...]) -> nir.NIRNode:
    one = np.ones(shape)
    return nir.LI(tau=1e-3 * one, r=one, v_leak=0 * one)


def test_the_graph_computes_the_module() -> None:
    """An LI with tau = dt keeps nothing and passes its input on, so the graph is the module itself."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 5, bias=False)
    )
    graph = targets.from_torch(module, (1, 8, 8), neuron, {"dt": 1e-3})
    x = np.random.default_rng(0).random((3, 2, 1, 8, 8)).astype(np.float32)
    found = targets.compile(graph, "reference").run(x).output
    with torch.no_grad():
        expected = torch.stack([module(torch.from_numpy(step)) for step in x]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_relu_becomes_a_population() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    graph = targets.from_torch(module, (4,), neuron, {"dt": 1e-3})
    assert graph.populations == ("neurons_1", "neurons_end")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.MaxPool2d(2), r"module '0' \(MaxPool2d\): allowed"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "padding_mode 'circular'"),
        (nn.AvgPool2d(3, ceil_mode=True), "AvgPool2d options"),
    ],
)
def test_other_modules_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(targets.UnsupportedNodeError, match=message):
        targets.from_torch(nn.Sequential(module), (1, 8, 8), neuron, {"dt": 1e-3})

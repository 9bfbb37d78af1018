"""Spikes that others recorded."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

import targets


def test_braille_equals_the_recording_of_norse(shared: Path) -> None:
    """Norse's recurrent-layer spikes of the NIR paper (Pedersen et al. 2024), sample 0: 9,728 cells."""
    folder = shared / "nir/ref"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        graph = targets.load(shared / "nir/braille_zero.nir", profile={"dt": 1e-4})
    x = np.load(folder / "rnn_input_sample0_from_pdf.npy").astype(np.float32)[:, None]
    recorded = np.load(folder / "rnn_norse_activity_noDelay_bias_zero.npy").reshape(256, 1, 38)
    run = targets.compile(graph, "reference").run(x, record=["lif1.lif"])
    assert recorded.sum() == 118
    assert (run.spikes["lif1.lif"] != recorded).sum() == 0
    assert run.classes()[0] == 1


def test_lif_equals_the_trace_of_norse(shared: Path) -> None:
    """Voltage and spikes of one LIF over 1000 steps, recorded with Norse for the same paper."""
    rows = np.genfromtxt(shared / "nir/ref/lif_norse.csv", delimiter=",")
    rows = rows[~np.isnan(rows).any(axis=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        graph = targets.load(shared / "nir/lif_norse.nir", profile={"dt": 1e-4})
    (name,) = graph.populations
    x = rows[:, 0].astype(np.float32).reshape(-1, 1, 1)
    run = targets.compile(graph, "reference").run(x, record=[name])
    assert rows[:, 2].sum() > 0
    np.testing.assert_array_equal(run.spikes[name].ravel(), rows[:, 2])

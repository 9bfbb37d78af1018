"""Build a network node by node, run it on three targets, and prove that they agree."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np

import targets

rng = np.random.default_rng(0)
one = np.ones((8, 4, 4))

# A convolution into leaky neurons that inhibit themselves one step later, and a readout.
graph = targets.SpikingGraph.build(
    nodes={
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "conv": nir.Conv2d((8, 8), rng.normal(0, 0.5, (8, 1, 3, 3)), 2, 1, 1, 1, np.zeros(8)),
        "hidden": nir.LIF(tau=4e-3 * one, r=4 * one, v_leak=0 * one, v_threshold=one),
        "inhibit": nir.Conv2d((4, 4), -0.1 * rng.random((8, 8, 3, 3)), 1, 1, 1, 1, np.zeros(8)),
        "later": nir.Delay(1e-3 * one),
        "flatten": nir.Flatten({"input": np.array([8, 4, 4])}, 0, -1),
        "dense": nir.Affine(rng.normal(0, 0.2, (10, 128)), np.zeros(10)),
        "readout": nir.IF(r=np.full(10, 1e3), v_threshold=np.ones(10)),
        "output": nir.Output({"output": np.array([10])}),
    },
    edges=[
        ("input", "conv"),
        ("conv", "hidden"),
        ("hidden", "inhibit"),
        ("inhibit", "later"),
        ("later", "hidden"),
        ("hidden", "flatten"),
        ("flatten", "dense"),
        ("dense", "readout"),
        ("readout", "output"),
    ],
    profile={"dt": 1e-3},
)

spikes = (rng.random((20, 32, 1, 8, 8)) < 0.2).astype(np.float32)
for name in ("reference", "onnx", "loihi"):
    run = targets.compile(graph, name).run(spikes)
    print(f"{run.ran_on}: {run.spike_counts['hidden'].sum()} hidden spikes in {run.seconds:.3f} s")

agreement = targets.verify(graph, spikes, ["reference", "onnx", "loihi"])
for pair in agreement.pairs:
    print(f"{pair.a} = {pair.b} in {pair.arithmetic}: {pair.differing} of {pair.compared} spikes differ")
agreement.require()
out = Path(__file__).with_name("out")
out.mkdir(exist_ok=True)
targets.compile(graph, "onnx").save(out / "network.onnx")
targets.save(graph, out / "network.nir")

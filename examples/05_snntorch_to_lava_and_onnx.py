"""A network from snnTorch, on ONNX and in Loihi's fixed point, with snnTorch's own spikes as witness.

`data/snntorch.nir` was written by snnTorch 1.0.0 (two Leaky layers, reset to zero, a beta for each neuron):

    snntorch.export_nir.export_to_nir(net, x[0], ignore_dims=[0])

`data/snntorch.npz` holds an input and the spikes that snnTorch itself gave for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import targets

DATA = Path(__file__).with_name("data")

# A NIR file leaves its meaning open; this is what snnTorch means by it.
graph = targets.load(DATA / "snntorch.nir", profile={"writer": "snntorch", "reset": "to_value"})
recorded = np.load(DATA / "snntorch.npz")
x, theirs = recorded["x"].astype(np.float32), recorded["output"]
(readout,) = graph.predecessors[graph.outputs[0]]

for name in ("reference", "onnx", "loihi"):
    run = targets.compile(graph, name).run(x, record=[readout])
    differing = int((run.spikes[readout] != theirs).sum())
    print(f"{run.ran_on}: {int(theirs.sum())} spikes in snnTorch, {differing} differ")

# Fixed point may differ from snnTorch's floats; Loihi's targets may not differ from each other.
chosen = ["reference", "onnx", "loihi"]
missing = targets.find("lava").unavailable()
if missing:
    print("without Lava:", missing)
else:
    chosen.append("lava")
agreement = targets.verify(graph, x, chosen)
for pair in agreement.pairs:
    print(f"{pair.a} = {pair.b} in {pair.arithmetic}: {pair.differing} of {pair.compared} differ")
agreement.require()

"""Load a .net file in lava-dl and run it: `python run_netx.py SHIM_FOLDER NET INPUT.npy OUTPUT.npy`.

Runs in Lava's environment. INPUT is [T, B, *image], OUTPUT [T, B, neurons] in the order of the graph.
netx needs one function of slayer, for neurons that no file here holds: stubs keep torch out.
"""

import sys
import types

import numpy as np

sys.path.insert(0, sys.argv[1])
import shim  # noqa: F401

for name in ("slayer", "slayer.neuron", "slayer.neuron.rf", "netx.sequential_modules"):
    stub = types.ModuleType(f"lava.lib.dl.{name}")
    stub.__file__, stub.__path__, stub.neuron_params = __file__, [], None
    sys.modules[f"lava.lib.dl.{name}"] = stub

from lava.lib.dl.netx.hdf5 import Network  # noqa: E402
from lava.magma.core.run_conditions import RunSteps  # noqa: E402
from lava.magma.core.run_configs import Loihi2SimCfg  # noqa: E402
from lava.proc.io.sink import RingBuffer as Sink  # noqa: E402
from lava.proc.io.source import RingBuffer as Source  # noqa: E402

x = np.load(sys.argv[3])
steps, samples = x.shape[:2]
network = Network(sys.argv[2], reset_interval=steps, reset_offset=1)
lag, total = len(network), steps * samples + len(network)
# [T, B, C, H, W] -> [W, H, C, time], samples back to back.
train = np.moveaxis(x, 0, 1).reshape(steps * samples, *x.shape[2:]).transpose()
if train[..., 0].shape != network.inp.shape:
    train = np.moveaxis(x, 0, 1).reshape(steps * samples, -1).T
padded = np.zeros((*train.shape[:-1], total), np.int32)
padded[..., : steps * samples] = train
source, sink = Source(data=padded), Sink(shape=network.out.shape, buffer=total)
source.s_out.connect(network.inp)
network.out.connect(sink.a_in)
source.run(condition=RunSteps(num_steps=total), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
found = sink.data.get()[..., lag:]
source.stop()
# [W, H, C, time] -> [time, C, H, W].
found = found.transpose().reshape(samples, steps, -1)
np.save(sys.argv[4], found.swapaxes(0, 1).astype(np.uint8))

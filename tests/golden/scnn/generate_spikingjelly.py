"""Record SpikingJelly 2.0.0 on the SCNN of the NIR paper: SCNN.nir FOLDER -> FOLDER/spikingjelly.npz.

SpikingJelly steps by Euler, resets to v_reset and fires once, as the house profile does.
Environment: pip install spikingjelly==2.0.0 nir==1.0.8 nirtorch==2.6.
Run: python generate_spikingjelly.py scnn_sinabs.nir FOLDER.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import torch
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.nir_exchange import import_from_nir

STEPS, BATCH = 40, 2

if __name__ == "__main__":
    net = import_from_nir(nir.read(sys.argv[1]), dt=1.0)
    rng = np.random.default_rng(11)
    x = (rng.random((STEPS, BATCH, 2, 34, 34)) < 0.05).astype(np.float32)
    seen: dict[str, list[np.ndarray]] = {}
    for name, module in net.named_modules():
        if isinstance(getattr(module, "module", None), neuron.IFNode):
            seen[name] = []
            module.register_forward_hook(lambda _m, _i, out, name=name: seen[name].append(out[0].numpy()))
    state = None
    with torch.no_grad():
        for now in torch.from_numpy(x):
            _, state = net(now, state)
    layers = {name: np.stack(values).astype(np.uint8) for name, values in seen.items()}
    print({name: (value.shape, int(value.sum()), int(value.max())) for name, value in layers.items()})
    np.savez_compressed(Path(sys.argv[2]) / "spikingjelly.npz", **layers)

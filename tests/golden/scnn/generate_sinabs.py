"""Record Sinabs 3.1.3 on the SCNN of the NIR paper: SCNN.nir FOLDER -> FOLDER/sinabs.npz.

Environment: pip install sinabs==3.1.3 "nir<=1.0.4" "nirtorch<=2.0.2".
Run: python generate_sinabs.py scnn_sinabs.nir FOLDER.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.nir import from_nir

STEPS, BATCH = 40, 2

if __name__ == "__main__":
    net = from_nir(nir.read(sys.argv[1]), batch_size=BATCH)
    rng = np.random.default_rng(11)
    x = (rng.random((STEPS, BATCH, 2, 34, 34)) < 0.05).astype(np.float32)
    seen: dict[str, np.ndarray] = {}
    for name, module in net.named_modules():
        if isinstance(module, sl.IAFSqueeze):
            module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out.numpy()))
    with torch.no_grad():
        out = net(torch.from_numpy(x.swapaxes(0, 1).reshape(-1, 2, 34, 34).copy()))
    out = out[0] if isinstance(out, tuple) else out
    layers = {
        name: value.reshape(BATCH, STEPS, *value.shape[1:]).swapaxes(0, 1).astype(np.uint8)
        for name, value in seen.items()
    }
    print({name: (value.shape, int(value.sum()), int(value.max())) for name, value in layers.items()})
    np.savez_compressed(Path(sys.argv[2]) / "sinabs.npz", **layers)

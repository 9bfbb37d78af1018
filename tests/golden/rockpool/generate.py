"""Record Rockpool 3.1.0: FOLDER/{currents,leaky,readout}.{nir,npz}, dt = 1 ms.

Environment: pip install "rockpool[torch]==3.1.0" "nir<=1.0.4" "nirtorch<=2.0.2".
Run: python generate.py FOLDER.
"""

import sys
import warnings
from pathlib import Path

import nir
import numpy as np
import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules.torch import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch
from rockpool.nn.modules.torch.nir import to_nir

STEPS, BATCH, DT = 100, 2, 1e-3


def currents(n: int) -> LIFTorch:
    """A LIFTorch of n neurons."""
    return LIFTorch(n, tau_mem=torch.linspace(5e-3, 1e-2, n), tau_syn=torch.full((n, 1), 4e-3), dt=DT)


def leaky(n: int) -> LIFNeuronTorch:
    """A LIFNeuronTorch of n neurons."""
    return LIFNeuronTorch(n, tau_mem=torch.linspace(5e-3, 1e-2, n), dt=DT)


def readout(n: int) -> ExpSynTorch:
    """An ExpSynTorch of n neurons."""
    return ExpSynTorch(n, tau=torch.linspace(5e-3, 1e-2, n), dt=DT)


def record(layer: object, folder: Path, name: str, scale: float, last: object = None) -> None:
    """Run Linear-layer-Linear-layer on seeded spikes and save input, output and file."""
    torch.manual_seed(3)
    net = Sequential(LinearTorch((8, 16)), layer(16), LinearTorch((16, 4)), (last or layer)(4))
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, BATCH, 8)) < 0.4).astype(np.float32)
    with torch.no_grad():
        net[0].weight *= scale
        net[2].weight *= scale
        spikes = net(torch.from_numpy(x.swapaxes(0, 1).copy()))[0].numpy().swapaxes(0, 1)
    print(name, "spikes", spikes.sum(), "most in a step", spikes.max())
    for module in (net[0], net[1], net[2], net[3]):
        for parameter in module.parameters().values():
            parameter.requires_grad_(False)  # its export of ExpSynTorch fails otherwise
    nir.write(str(folder / f"{name}.nir"), to_nir(net, torch.zeros((1, 1, 8))))
    output = spikes if last else spikes.astype(np.uint8)
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), output=output)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record(currents, Path(sys.argv[1]), "currents", 1.0)
    record(leaky, Path(sys.argv[1]), "leaky", 2.0)
    record(leaky, Path(sys.argv[1]), "readout", 2.0, readout)

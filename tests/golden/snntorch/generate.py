"""Record snnTorch 1.0.0: FOLDER/{late,zero,immediate,currents,recurrent}.{nir,npz}.

Environment: pip install snntorch==1.0.0 nir==1.0.8 nirtorch==2.6. Run: python generate.py FOLDER.
Its export needs beta and threshold as tensors of the layer's shape.
"""

import sys
import warnings
from pathlib import Path

import nir
import numpy as np
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

STEPS, BATCH = 100, 2


def leaky(n: int, **options: object) -> nn.Module:
    """A Leaky layer of n neurons with betas of their own."""
    return snn.Leaky(torch.linspace(0.8, 0.95, n), threshold=torch.ones(n), init_hidden=True, **options)


def synaptic(n: int) -> nn.Module:
    """A Synaptic layer of n neurons."""
    return snn.Synaptic(
        torch.linspace(0.5, 0.7, n), torch.linspace(0.8, 0.95, n), threshold=torch.ones(n), init_hidden=True
    )


def recurrent(n: int) -> nn.Module:
    """An RLeaky layer of n neurons, all to all, without a recurrent bias."""
    layer = snn.RLeaky(
        torch.linspace(0.8, 0.95, n), linear_features=n, threshold=torch.ones(n), init_hidden=True
    )
    with torch.no_grad():
        generator = torch.Generator().manual_seed(n)
        layer.recurrent.weight.copy_(0.5 * torch.randn(n, n, generator=generator))
        layer.recurrent.bias.zero_()
    return layer


def record(layer: object, folder: Path, name: str, scale: float = 2.0) -> None:
    """Run Linear-layer-Linear-layer on seeded spikes and save input, output and file."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(8, 16), layer(16), nn.Linear(16, 4), layer(4))
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, BATCH, 8)) < 0.4).astype(np.float32)
    with torch.no_grad():
        net[0].weight *= scale
        net[2].weight *= scale
        spikes = np.stack([net(now).numpy() for now in torch.from_numpy(x)])
    print(name, "spikes", spikes.sum())
    fresh = nn.Sequential(net[0], layer(16), net[2], layer(4))
    graph = export_to_nir(fresh, torch.from_numpy(x[0, :1]), ignore_dims=[0])
    nir.write(str(folder / f"{name}.nir"), graph)
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), output=spikes.astype(np.uint8))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out = Path(sys.argv[1])
    record(leaky, out, "late")
    record(lambda n: leaky(n, reset_mechanism="zero"), out, "zero")
    # Beyond twice the threshold, reset_delay=False adds a threshold back a step later.
    record(lambda n: leaky(n, reset_delay=False), out, "immediate", 0.8)
    record(synaptic, out, "currents")
    record(recurrent, out, "recurrent")

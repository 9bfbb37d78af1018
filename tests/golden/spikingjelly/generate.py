"""Record SpikingJelly 2.0.0: FOLDER/{convolution,currents,leaky}.{nir,npz}.

Environment: pip install spikingjelly==2.0.0 nir==1.0.8 nirtorch==2.6. Run: python generate.py FOLDER.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir
from torch import nn

STEPS, BATCH = 100, 2


def leaky() -> nn.Module:
    """Linear-LIF-Linear-LIF with both scalings of the input, and IF."""
    return nn.Sequential(
        nn.Linear(8, 16),
        neuron.LIFNode(tau=4.0, decay_input=True),
        nn.Linear(16, 8),
        neuron.LIFNode(tau=3.0, decay_input=False),
        nn.Linear(8, 4),
        neuron.IFNode(),
    )


def currents() -> nn.Module:
    """Linear-CubaLIF twice."""
    return nn.Sequential(
        nn.Linear(8, 16),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75),
        nn.Linear(16, 4),
        neuron.CUBALIFNode(c_decay=0.6, v_decay=0.9),
    )


def convolution() -> nn.Module:
    """Conv2d-LIF-AvgPool-Flatten-Linear-IF."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        neuron.LIFNode(tau=2.0),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 5),
        neuron.IFNode(),
    )


def record(net: nn.Module, shape: tuple[int, ...], folder: Path, name: str, scale: float) -> None:
    """Run `net` on seeded spikes and save input, output and file."""
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, BATCH, *shape)) < 0.4).astype(np.float32)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight *= scale
        spikes = np.stack([net(now).numpy() for now in torch.from_numpy(x)])
    print(name, "spikes", spikes.sum())
    for module in net.modules():
        if isinstance(module, neuron.BaseNode):
            module.reset()
    export_to_nir(net, torch.from_numpy(x[0]), str(folder / f"{name}.nir"))
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), output=spikes.astype(np.uint8))


if __name__ == "__main__":
    for name, build, shape, scale in (
        ("leaky", leaky, (8,), 8.0),
        ("currents", currents, (8,), 2.0),
        ("convolution", convolution, (2, 8, 8), 8.0),
    ):
        torch.manual_seed(3)
        record(build(), shape, Path(sys.argv[1]), name, scale)

"""Record Norse 1.1.0: FOLDER/{box,currents,integrating,readout}.{nir,npz}.

Environment: pip install norse==1.1.0 nir==1.0.8 nirtorch==2.6. Run: python generate.py FOLDER.
Norse 1.1.0 multiplies its argument dt into tau; dt = 1 writes seconds, as its later versions do. Its
export needs parameters of the layer's shape.
"""

import sys
import warnings
from pathlib import Path

import nir
import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.utils.export_nir import to_nir
from torch import nn

STEPS, BATCH = 100, 2


def box(n: int) -> nn.Module:
    """A LIFBoxCell of n neurons."""
    one = torch.ones(n)
    return norse.LIFBoxCell(
        LIFBoxParameters(
            tau_mem_inv=1 / torch.linspace(4e-3, 1e-2, n), v_leak=0 * one, v_th=one, v_reset=0 * one
        )
    )


def currents(n: int) -> nn.Module:
    """A LIFCell of n neurons."""
    one = torch.ones(n)
    return norse.LIFCell(
        LIFParameters(
            tau_syn_inv=one / 3e-3,
            tau_mem_inv=1 / torch.linspace(4e-3, 1e-2, n),
            v_leak=0 * one,
            v_th=one,
            v_reset=0 * one,
        )
    )


def integrating(n: int) -> nn.Module:
    """An IAFCell of n neurons."""
    return norse.IAFCell(IAFParameters(v_th=torch.ones(n), v_reset=torch.zeros(n)))


def readout(n: int) -> nn.Module:
    """A LIBoxCell of n neurons."""
    return norse.LIBoxCell(
        LIBoxParameters(tau_mem_inv=1 / torch.linspace(4e-3, 1e-2, n), v_leak=torch.zeros(n))
    )


def record(layer: object, scale: float, folder: Path, name: str, last: object = None) -> None:
    """Run Linear-layer-Linear-layer on seeded spikes and save input, output and file."""
    torch.manual_seed(3)
    net = norse.SequentialState(nn.Linear(8, 16), layer(16), nn.Linear(16, 4), (last or layer)(4))
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, BATCH, 8)) < 0.4).astype(np.float32)
    state, outputs = None, []
    with torch.no_grad():
        net[0].weight *= scale
        net[2].weight *= scale
        for now in torch.from_numpy(x):
            spikes, state = net(now, state)
            outputs.append(spikes.numpy())
    recorded = np.stack(outputs)
    print(name, "spikes", recorded.sum())
    nir.write(str(folder / f"{name}.nir"), to_nir(net, torch.from_numpy(x[0, 0]), dt=1.0))
    recorded = recorded if last else recorded.astype(np.uint8)
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), output=recorded)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out = Path(sys.argv[1])
    record(box, 10.0, out, "box")
    record(currents, 4.0, out, "currents")
    record(integrating, 2.0, out, "integrating")
    record(box, 10.0, out, "readout", readout)

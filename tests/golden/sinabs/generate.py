"""Record Sinabs 3.1.3: FOLDER/{leaky,normalised,integrating,unclipped,readout}.{nir,npz}.

Environment: pip install sinabs==3.1.3 "nir<=1.0.4" "nirtorch<=2.0.2". Run: python generate.py FOLDER.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.nir import to_nir
from torch import nn

STEPS, BATCH = 100, 2


def leaky(norm_input: bool) -> nn.Module:
    """Linear-LIF-Linear-LIF; taus count time steps."""

    def layer(n: int) -> nn.Module:
        tau = torch.linspace(5.0, 15.0, n)
        return sl.LIFSqueeze(
            tau_mem=tau, spike_threshold=torch.ones(n), norm_input=norm_input, batch_size=BATCH
        )

    return nn.Sequential(nn.Linear(8, 16), layer(16), nn.Linear(16, 4), layer(4))


def readout() -> nn.Module:
    """Linear-IAF-Linear-ExpLeak."""
    return nn.Sequential(
        nn.Linear(8, 16),
        sl.IAFSqueeze(spike_threshold=torch.ones(16), batch_size=BATCH),
        nn.Linear(16, 4),
        sl.ExpLeakSqueeze(tau_mem=torch.linspace(5.0, 15.0, 4), norm_input=False, batch_size=BATCH),
    )


def integrating(clip: float | None) -> nn.Module:
    """Conv2d-IAF-SumPool-Flatten-Linear-IAF."""

    def layer() -> nn.Module:
        return sl.IAFSqueeze(min_v_mem=clip, spike_threshold=torch.tensor(1.0), batch_size=BATCH)

    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), layer(), sl.SumPool2d(2), nn.Flatten(), nn.Linear(64, 5), layer()
    )


def record(net: nn.Module, shape: tuple[int, ...], folder: Path, name: str, scale: float) -> None:
    """Run `net` on seeded spikes and save input, output and file."""
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, BATCH, *shape)) < 0.4).astype(np.float32)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight *= scale
        fed = torch.from_numpy(x.swapaxes(0, 1).reshape(-1, *shape).copy())
        y = net(fed)
        graph = to_nir(net, fed)
    spikes = y.numpy().reshape(BATCH, STEPS, -1).swapaxes(0, 1)
    print(name, "spikes", spikes.sum(), "most in a step", spikes.max())
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d):
            node.input_shape = shape[1:]  # nir cannot write None
        if isinstance(node, nir.Flatten):
            node.input_type = {"input": np.array([4, 4, 4])}
    nir.write(str(folder / f"{name}.nir"), graph)
    output = spikes if name == "readout" else spikes.astype(np.uint8)
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), output=output)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for name, build, shape, scale in (
        ("leaky", lambda: leaky(False), (8,), 2.0),
        ("normalised", lambda: leaky(True), (8,), 16.0),
        ("integrating", lambda: integrating(-1.0), (2, 8, 8), 4.0),
        ("readout", readout, (8,), 2.0),
        ("unclipped", lambda: integrating(None), (2, 8, 8), 4.0),
    ):
        torch.manual_seed(3)
        record(build(), shape, out, name, scale)

"""Peak bytes that one training step adds to this process: `executor_memory.py FRAMEWORK NET T B`.

FRAMEWORK is `ours`, `checkpoint-K` for ours with a checkpoint of K steps, or a peer.

`bench_executor.py` starts it, since memory that an earlier run freed would hide what a later one takes.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from bench_executor import OURS, Case, Ours, calls
from executor_networks import NETWORKS
from executor_peers import PEERS


def resident(key: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (the most so far) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}; peak memory is measured on Linux")


def main() -> None:
    """Run from the command line."""
    name, net, steps, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    own, _, segment = name.partition("-") if name not in PEERS else ("", "", "")
    ours = Ours(net, int(segment) if segment else None)
    peers = {} if own else {name: PEERS[name](NETWORKS[net]())}
    name = OURS if own else name
    # A small step first: what a framework loads or builds at first use is not the step's memory.
    calls(ours, peers, Case(net, "training", 1, 2))[name]()
    step = calls(ours, peers, Case(net, "training", batch, steps))[name]
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main()

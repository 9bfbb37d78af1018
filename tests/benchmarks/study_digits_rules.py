"""Accuracy of learning rules on the digits of scikit-learn, beside the reference table.

    python tests/benchmarks/study_digits_rules.py [--rows bp,bp fa,usf ...] [--seeds 3] [--json FILE]

Network: LIF 64-128-128 and a leaky readout of 10, decay 0.8, threshold 1, soft reset in the next step,
constant input current, 6 steps. Adam 3e-3, batches of 50, 10 epochs, test accuracy after the last one,
on a split of 1400 and 397 pictures that nothing is selected on, shuffled anew for each seed. A row names
how each hidden layer receives its error: the feedback rule of the synapse node above it, or its own
teacher. The loss of `bptt` is the cross-entropy of the mean membrane, that of `trace` and `none` its mean
over steps. The reference has one split, a triangular surrogate (here arctangent), and does not state its
initial weights. The difference allowed is two binomial standard errors of the difference: 397 pictures
on its side, 397 a seed on this one.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import get_args

import nir
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from msenas_hw.training.rules import RuleHooks, Rules
from msenas_hw.training.rules.words import Feedback
from targets.graph.graph import SpikingGraph
from targets.reference.network import ReferenceNetwork

SIZES, STEPS, DECAY = (64, 128, 128, 10), 6, 0.8
TRAIN, BATCH, EPOCHS, RATE = 1400, 50, 10, 3e-3
TEMPORAL = ("bptt", "trace", "none")
REFERENCE: dict[str, tuple[float | None, ...]] = {
    "bp,bp": (0.978, 0.973, 0.975),
    "usf,usf": (0.977, 0.972, 0.973),
    "brsf,brsf": (0.982, 0.972, 0.970),
    "frsf,frsf": (0.976, 0.966, 0.968),
    "fa,fa": (0.960, 0.956, 0.951),
    "dfa,dfa": (0.963, 0.961, 0.958),
    "fa,usf": (0.971, 0.968, 0.966),
    "dfa,brsf": (0.967, 0.963, 0.967),
    "usf,dfa": (0.969, 0.966, 0.961),
    "frozen,frozen": (0.880, 0.882, 0.884),
    "drtp,drtp": (None, 0.945, None),
    "local,local": (None, 0.958, None),
    "local,bp": (None, 0.958, None),
    "local,usf": (None, 0.959, None),
    "dfa,local": (None, 0.960, None),
    "drtp,usf": (None, 0.952, None),
    "drtp,bp": (None, 0.955, None),
    "frozen,bp": (None, 0.956, None),
}


def network(seed: int) -> SpikingGraph:
    """The network, weights uniform within sqrt(6 / fan_in), biases as torch draws them."""
    torch.manual_seed(seed)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([SIZES[0]])})}
    names = ("hidden1", "hidden2", "readout")
    for (n, m), name in zip(pairwise(SIZES), names, strict=True):
        linear = torch.nn.Linear(n, m)
        torch.nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        one = np.ones(m, np.float32)
        leak = {"tau": one * 1e-3 / (1 - DECAY), "r": one / np.float32(1 - DECAY), "v_leak": one * 0}
        nodes[f"into_{name}"] = nir.Affine(linear.weight.detach().numpy(), linear.bias.detach().numpy())
        last = name == "readout"
        nodes[name] = nir.LI(**leak) if last else nir.LIF(**leak, v_threshold=one, v_reset=one * 0)
    nodes["output"] = nir.Output({"output": np.array([SIZES[-1]])})
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3, "reset": "subtract_late"})


def rules_of(row: str, temporal: str) -> Rules:
    """How each hidden layer receives its error, as rules of layers."""
    words = {name: [temporal] for name in ("hidden1", "hidden2", "readout")}
    for word, layer, above in zip(
        row.split(","), ("hidden1", "hidden2"), ("hidden2", "readout"), strict=True
    ):
        words[above if word in get_args(Feedback) else layer].append(word)
    return Rules({name: "+".join(found) for name, found in words.items()})


def split(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [1797, 64] in [0, 1] and labels, shuffled."""
    digits = load_digits()
    order = np.random.default_rng([seed, 2]).permutation(len(digits.target))
    return torch.from_numpy(digits.data[order] / 16).float(), torch.from_numpy(digits.target[order])


def accuracy(row: str, temporal: str, seed: int) -> float:
    """Test accuracy of one training."""
    x, y = split(seed)
    graph = network(seed)
    hooks = RuleHooks(graph, rules_of(row, temporal), seed, SIZES[-1])
    net = ReferenceNetwork(graph, hooks=hooks)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    rng = np.random.default_rng([seed, 1])
    for _ in range(EPOCHS):
        for chosen in torch.from_numpy(rng.permutation(TRAIN)).split(BATCH):
            labels = y[chosen]
            hooks.begin(net, labels)
            out = net({"input": x[chosen].expand(STEPS, -1, -1)}).outputs["output"]
            if temporal == "bptt":
                loss = functional.cross_entropy(out.mean(0), labels)
            else:
                loss = functional.cross_entropy(out.flatten(0, 1), labels.repeat(STEPS))
            extra = hooks.extra_loss()
            optimiser.zero_grad()
            (loss if extra is None else loss + extra).backward()
            hooks.finish(net)
            optimiser.step()
    with torch.no_grad():
        out = net({"input": x[TRAIN:].expand(STEPS, -1, -1)}).outputs["output"].mean(0)
    return float((out.argmax(1) == y[TRAIN:]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=list(REFERENCE))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tested, found = 1797 - TRAIN, []
    print("| hidden rules | temporal | accuracy | s.e. of seeds | reference | 2 s.e. | within |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in options.rows:
        for temporal, reference in zip(TEMPORAL, REFERENCE[row], strict=True):
            if reference is None:
                continue
            started = time.perf_counter()
            runs = [accuracy(row, temporal, seed) for seed in range(options.seeds)]
            mean, spread = float(np.mean(runs)), float(np.std(runs, ddof=1) / np.sqrt(len(runs)))
            variance = reference * (1 - reference) + mean * (1 - mean) / len(runs)
            allowed = 2 * float(np.sqrt(variance / tested))
            within = abs(mean - reference) <= allowed
            print(
                f"| {row} | {temporal} | {mean:.3f} | {spread:.3f} | {reference:.3f} | {allowed:.3f} | "
                f"{'yes' if within else 'NO'} |",
                flush=True,
            )
            seconds = time.perf_counter() - started
            found.append({"rules": row, "temporal": temporal, "runs": runs, "seconds": seconds})
            found[-1] |= {"mean": mean, "reference": reference, "within": within}
    inside = sum(case["within"] for case in found)
    print(f"\n{inside} of {len(found)} within two standard errors")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

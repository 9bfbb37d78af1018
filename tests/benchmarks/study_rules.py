"""Learning rules on Fashion-MNIST: all back-propagation, single rules, a searched mix, random mixes.

    python tests/benchmarks/study_rules.py [--results FILE.jsonl] [--train 6000] [--epochs 4] [--seeds 3]

One fixed network: two convolutions with stride 2, a dense layer and a readout of integrate-and-fire
neurons. A mix gives each layer a rule of its own. The searched mix is the winner of successive halving
by validation accuracy, among mixes drawn from the same words as the random ones; it trains with a
weight seed that the table does not use. Every row then trains with the same settings and seeds and the
epoch best on validation is kept; the test part is read once a training. Each training is a line of the
results file, and a study that was interrupted goes on from it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np

from msenas_hw.data import Dataset, load
from msenas_hw.fitness import Balanced, balance
from msenas_hw.search.second_stage import halve
from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.rules import Rules, canonical
from msenas_hw.training.samples import Samples, evaluate
from targets.graph.graph import SpikingGraph

ENCODING, STEPS, BALANCED = "rate", 4, 64
HIDDEN = ("conv1", "conv2", "dense")
# What a layer of a mix may have; the readout has the feedback and temporal words alone.
FEEDBACK, TEACHERS, TEMPORAL = (
    ("bp", "fa", "usf", "brsf", "frsf"),
    ("dfa", "sdfa", "drtp", "local"),
    ("bptt", "trace"),
)
SINGLE = (*FEEDBACK[1:], *TEACHERS, "ottt", "sltt", "e-prop", "decolle", "softhebb")
MIXES, CANDIDATES, RUNGS, KEEP, SEARCH_SEED = 5, 12, (1, 2, 4), 0.5, 100


def network(data: Dataset, seed: int) -> SpikingGraph:
    """The fixed network with weights of `seed`, balanced on training samples."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    def conv(inputs: int, outputs: int, side: int) -> nir.Conv2d:
        return nir.Conv2d(
            (side, side), weights(outputs, inputs, 3, 3), 2, 1, 1, 1, np.zeros(outputs, np.float32)
        )

    def lif(*shape: int) -> nir.LIF:
        one = np.ones(shape)
        return nir.LIF(tau=2.0 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)

    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(np.array(data.input_shape)),
        "into_conv1": conv(1, 12, 28),
        "conv1": lif(12, 14, 14),
        "into_conv2": conv(12, 16, 14),
        "conv2": lif(16, 7, 7),
        "flatten": nir.Flatten({"input": np.array([16, 7, 7])}, start_dim=0, end_dim=-1),
        "into_dense": nir.Affine(weights(64, 784), np.zeros(64, np.float32)),
        "dense": lif(64),
        "into_readout": nir.Affine(weights(10, 64), np.zeros(10, np.float32)),
        "readout": nir.IF(r=np.ones(10), v_threshold=np.ones(10), v_reset=np.zeros(10)),
        "output": nir.Output(np.array([10])),
    }
    graph = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})
    found = balance(graph, data.inputs("train", ENCODING, STEPS, BALANCED)[0])
    assert isinstance(found, Balanced), found
    return found.graph


def mix(number: int) -> Rules:
    """A random mix: each hidden layer has a feedback, maybe a teacher, and a temporal rule."""
    rng = np.random.default_rng([number, 11])

    def word(words: tuple[str, ...]) -> str:
        return words[rng.integers(len(words))]

    def layer(hidden: bool) -> str:
        teacher = [word(TEACHERS)] if hidden and rng.random() < 0.5 else []
        return "+".join([word(FEEDBACK), *teacher, word(TEMPORAL)])

    return Rules({**{name: layer(True) for name in HIDDEN}, "readout": layer(False)})


def rows() -> dict[str, Rules]:
    """Name and rules of every row but the searched mix."""

    def hidden(text: str) -> Rules:
        own = text if text in (*FEEDBACK, "ottt", "sltt") else "bp"
        return Rules({**dict.fromkeys(HIDDEN, text), "readout": own})

    return {
        "bp": Rules({"default": "bp"}),
        **{text: hidden(text) for text in SINGLE},
        **{f"random mix {number}": mix(number) for number in range(MIXES)},
        "frozen hidden layers": hidden("frozen"),
    }


class Study:
    """Trainings of one setting, kept in a file of JSON lines."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.data = load("fashion-mnist", validation=2000, folder=options.folder).with_train(options.train)
        self.options, self.path = options, Path(options.results)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.done = {self._key(line): line for line in map(json.loads, lines)}

    @staticmethod
    def _key(line: Mapping[str, object]) -> tuple[object, ...]:
        return tuple(line[key] for key in ("rules", "seed", "epochs", "train"))

    def measure(self, rules: Rules, seed: int, epochs: int, test: bool = True) -> dict[str, float]:
        """Accuracies of one training."""
        graph = network(self.data, seed)
        text = canonical(graph, rules).model_dump_json()
        line = {"rules": text, "seed": seed, "epochs": epochs, "train": self.options.train}
        known = self.done.get(self._key(line))
        if known is None:
            config = TrainingConfig(epochs=epochs, batch=100, shift=0, learning_rate=0.05, rules=rules)
            trained = train(graph, self.data, ENCODING, STEPS, config, seed)
            known = {**line, "validation": trained.validation_accuracy}
            if test:
                part = Samples.of(self.data, "test", ENCODING, STEPS, self.data.input_shape)
                known["test"] = evaluate(trained.graph, part).accuracy
            with self.path.open("a") as file:
                file.write(json.dumps(known) + "\n")
            self.done[self._key(line)] = known
        return {key: float(known[key]) for key in ("validation", "test") if key in known}

    def searched(self) -> Rules:
        """The winner of successive halving among mixes that the table does not hold."""

        def score(rules: Rules, epochs: int) -> tuple[bool, float]:
            return True, self.measure(rules, SEARCH_SEED, epochs, test=False)["validation"]

        return halve([mix(MIXES + number) for number in range(CANDIDATES)], score, RUNGS, KEEP)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", default="study_rules.jsonl")
    parser.add_argument("--folder", help="where the files of Fashion-MNIST are")
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    study = Study(options)
    winner = study.searched()
    print(f"searched mix: {winner.model_dump_json()}", flush=True)
    table: dict[str, list[float]] = {}
    for name, rules in {"searched mix": winner, **rows()}.items():
        table[name] = [study.measure(rules, seed, options.epochs)["test"] for seed in range(options.seeds)]
        mean, error = np.mean(table[name]), np.std(table[name], ddof=1) / np.sqrt(options.seeds)
        print(f"| {name} | {mean:.4f} | {error:.4f} |", flush=True)
    random = np.array([np.mean(table[f"random mix {number}"]) for number in range(MIXES)])
    gap = float(np.mean(table["searched mix"]) - random.mean())
    error = float(
        np.hypot(
            random.std(ddof=1) / np.sqrt(MIXES),
            np.std(table["searched mix"], ddof=1) / np.sqrt(options.seeds),
        )
    )
    print(
        f"searched - mean of random mixes: {gap:+.4f}, standard error {error:.4f}; "
        f"best random {random.max():.4f}"
    )


if __name__ == "__main__":
    main()

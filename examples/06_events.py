"""Events, N-MNIST-like: simulated recordings of digits, binned, learned, and run on Loihi's fixed point.

`digits-saccade-sim` moves pictures of digits before a model of an event camera; it is no recording.
With the files of N-MNIST at hand, `nmnist` in its place is the real set.
"""

from __future__ import annotations

import msenas_hw
import targets
from msenas_hw.data import configured
from msenas_hw.search import setting
from msenas_hw.space import Genome
from msenas_hw.training import train
from msenas_hw.training.initial import initial

CHANGES = [
    "data.name=digits-saccade-sim", "data.encoding=events", "data.steps=6", "data.samples=16",
    "data.downsample=2", "data.train_samples=300", "space.cells=[1, 1]", "space.widths=[8]",
    "search.population=4", "search.generations=2", "search.infeasible_generations=2",
    "training.epochs=8", "budget.device=loihi1-sanafe",
]  # fmt: skip


def main() -> None:
    config = msenas_hw.load_config(None, CHANGES)
    section, data = config.data, configured(config.data)
    print(f"{data.name}: {len(data.train_y)} training samples, input {data.input_shape}")
    study = msenas_hw.search(config)
    best = study.front()[0]
    graph, _ = initial(Genome.from_json(best.measured.genome), setting(config), 0)
    trained = train(graph, data, section.encoding, section.steps, config.training, 0)
    print(f"{best.key}: validation accuracy {trained.validation_accuracy:.3f} after 8 epochs, one seed")
    x, y = data.inputs("test", section.encoding, section.steps, 50)
    for name in ("reference", "loihi"):
        run = targets.compile(trained.graph, name).run(x)
        print(f"{run.ran_on}: {(run.classes() == y).mean():.2f} of 50 test samples right")


if __name__ == "__main__":
    main()

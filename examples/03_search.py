"""A small search in Python: the Pareto front of untrained networks under a Loihi 1 budget."""

from __future__ import annotations

from pathlib import Path

import msenas_hw


def main() -> None:
    config = msenas_hw.load_config(
        Path(__file__).with_name("quickstart.toml"),
        ["search.population=8", "search.generations=3", "search.workers=1", "second_stage.candidates=0"],
    )
    study = msenas_hw.search(config)
    for row in study.front_rows():
        print(f"{row['arch']}  fitness {row['fitness']:.3f}  {row['energy_j']:.2e} J  {row['motifs']}")
    report = study.variance()
    print(f"fitness: {report.mean:.2f} of its variance lies between networks, the rest between draws")


if __name__ == "__main__":
    main()

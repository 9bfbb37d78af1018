"""One architecture for two machines: Loihi's energy and a GPU's latency under one budget."""

from __future__ import annotations

from pathlib import Path

import msenas_hw
from msenas_hw.config import parse_config

SMALL = [
    "search.population=6",
    "search.generations=2",
    "search.workers=1",
    "space.widths=[8, 12]",
    "second_stage.candidates=0",
]
DEVICES = {"gpu-a100": {"latency_s": 4e-3}, "loihi2": {"cores": 64}}


def main() -> None:
    quick = msenas_hw.load_config(Path(__file__).with_name("quickstart.toml"), SMALL)
    table = quick.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    table["budget"] |= {"devices": DEVICES}
    study = msenas_hw.search(parse_config(table, "two chips"))
    for row in study.front_rows():
        print(f"{row['arch']}  fitness {row['fitness']:.3g}  {row['energy_j']:.2e} J on loihi1-sanafe")
        for name, figures in row["devices"].items():
            print(f"    {name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()

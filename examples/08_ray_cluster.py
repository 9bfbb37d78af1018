"""A search whose candidates are evaluated on a Ray cluster; here a local one of two workers.

On many machines: `ray start --head`, `ray start --address HEAD:6379` on the others, and
`msenas search CONFIG.toml --ray HEAD:6379`. The trials are those of a search in one process.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msenas_hw

SMALL = [
    "search.population=6",
    "search.generations=2",
    "space.widths=[8, 12]",
    "data.samples=16",
    "second_stage.candidates=0",
]


def main() -> None:
    config = msenas_hw.load_config(Path(__file__).with_name("quickstart.toml"), SMALL)
    alone = msenas_hw.search(config, workers=1)
    print("one process:", [trial.key for trial in alone.trials()])
    if find_spec("ray") is None:
        print("Ray is not installed, so nothing ran on a cluster: pip install 'msenas-hw[ray]'")
        return
    cluster = msenas_hw.search(config, workers=2, ray="local")
    print("Ray cluster:", [trial.key for trial in cluster.trials()])
    assert [trial.measured.fitness for trial in cluster.trials()] == [
        trial.measured.fitness for trial in alone.trials()
    ]


if __name__ == "__main__":
    main()

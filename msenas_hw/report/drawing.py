"""Networks as pictures for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msenas_hw.search import Study


def drawings(study: Study, networks: Mapping[str, Any], most: int) -> dict[str, str]:
    """`{arch: SVG}` of the first `most` of `networks`."""
    from msenas_hw.search import setting
    from msenas_hw.space import Genome
    from msenas_hw.space.drawing import draw

    if not networks:
        return {}
    task = setting(study.config).task
    return {
        arch: draw(Genome.from_json(json.dumps(known["genome"])), task)
        for arch, known in list(networks.items())[:most]
    }

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from msenas_hw.space import Genome, SpaceConfig, Task, estimate_size, size

TASK = Task((1, 4, 4), 3, 4)
TINY = SpaceConfig(
    cells=(1, 2),
    widths=(4,),
    motifs=("lateral_inhibition", "mutual_inhibition"),
    models=("if", "lif"),
    taus=(2.0,),
    thresholds=(1.0,),
    kernels=(3,),
    max_halvings=1,
)


def test_estimate_agrees_with_enumeration(every: Callable[..., dict[str, Genome]]) -> None:
    exact = len(every(TINY, TASK))
    found = estimate_size(TINY, TASK, np.random.default_rng(0), samples=1500)
    assert abs(found.networks - exact) < 4 * found.standard_error
    assert found.standard_error < 0.1 * exact
    assert found.networks == pytest.approx(sum(found.by_cells.values()))


def test_steps_and_weight_bits_are_counted() -> None:
    """One lateral cell: 2 widths of its weights, 2 of the readout's, 3 numbers of steps."""
    space = SpaceConfig(
        cells=(1, 1),
        widths=(4,),
        motifs=("lateral_inhibition",),
        models=("if",),
        thresholds=(1.0,),
        kernels=(3,),
        max_halvings=0,
        weight_bits=(4, 8),
        steps=(3, 4, 9),
    )
    # Half of the labelled genomes halve, which max_halvings forbids, so the estimate has an error.
    found = estimate_size(space, TASK, np.random.default_rng(0), samples=4000)
    assert abs(found.networks - 12) < 4 * found.standard_error
    assert found.standard_error < 0.5


def test_size_is_repeatable_and_grows_with_the_space() -> None:
    assert size(TINY, TASK) == size(TINY, TASK)
    assert size(TINY.model_copy(update={"widths": (4, 8)}), TASK) > 1.5 * size(TINY, TASK)

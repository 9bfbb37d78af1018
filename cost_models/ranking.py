"""Do energy models agree on which network is better, and which networks win under all of them.

Models of one chip differ by more than the networks that a search compares, so the model chooses the
winner. Kendall's tau-b says how far two models order the same networks alike: 1 alike, 0 unrelated, -1
reversed (Kendall, Biometrika 33, 1945). None stands where a model orders nothing, because all
networks cost the same under it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from targets.errors import DataError

Costs = Mapping[str, Sequence[float]]


def agreement(costs: Costs) -> dict[tuple[str, str], float | None]:
    """Kendall's tau-b of every pair of models, for `{model: cost of each network}`.

    Raises:
        DataError: fewer than two networks, models with different numbers of networks, or a cost that
            is negative or no finite number.
    """
    table = _table(costs)
    if table.shape[1] < 2:
        raise DataError(f"rank agreement: found {table.shape[1]} network, allowed at least 2 to rank")
    found: dict[tuple[str, str], float | None] = {}
    for (i, a), (j, b) in combinations(enumerate(costs), 2):
        ties = np.ptp(table[i]) == 0 or np.ptp(table[j]) == 0
        found[a, b] = None if ties else float(kendalltau(table[i], table[j]).statistic)
    return found


def winners(costs: Costs) -> dict[str, int]:
    """The cheapest network under each model, the first of equals."""
    table = _table(costs)
    if table.shape[1] < 1:
        raise DataError("winners: found no network")
    return {name: int(np.argmin(row)) for name, row in zip(costs, table, strict=True)}


def robust_front(costs: Costs, others: Sequence[Sequence[float]] = ()) -> list[int]:
    """Networks that no other dominates under any model: what `robust` keeps of a search.

    Args:
        costs: `{model: cost of each network}`, smaller is better.
        others: further objectives that no model changes, one sequence each, smaller is better (the
            negative fitness). Without any, a network must be the cheapest under every model.

    Returns:
        indices of the networks, ascending; empty where the models name different winners.

    Raises:
        DataError: as for `agreement`; or an objective of another length, or not finite.
    """
    table = _table(costs)
    rest = [np.asarray(objective, dtype=np.float64) for objective in others]
    for objective in rest:
        if objective.shape != table.shape[1:] or not np.isfinite(objective).all():
            raise DataError(
                f"robust front: found an objective of shape {objective.shape}, "
                f"allowed {table.shape[1:]} finite numbers"
            )
    kept = np.ones(table.shape[1], dtype=bool)
    for row in table:
        kept &= _undominated(np.stack([row, *rest], axis=1))
    return [int(i) for i in np.flatnonzero(kept)]


def _undominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    none_worse = (points[:, None] <= points[None, :]).all(axis=2)
    some_better = (points[:, None] < points[None, :]).any(axis=2)
    return np.asarray(~(none_worse & some_better).any(axis=0))


def _table(costs: Costs) -> NDArray[np.float64]:
    lengths = {len(row) for row in costs.values()}
    if len(lengths) != 1:
        raise DataError(f"costs: found {sorted(lengths)} networks by model, allowed as many for each")
    for name, row in costs.items():
        wrong = [cost for cost in row if not math.isfinite(cost) or cost < 0]
        if wrong:
            raise DataError(f"costs of {name!r}: found {wrong[0]}, allowed finite numbers >= 0")
    return np.array([list(row) for row in costs.values()], dtype=np.float64).reshape(len(costs), -1)

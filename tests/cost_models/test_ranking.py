"""Rank agreement against counting pairs, and what stays of a front under every model."""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_models
from targets.errors import DataError


def tau_b(a, b):
    """Kendall's tau-b by its definition: concordant less discordant pairs, over pairs not tied."""
    pairs = [(a[i] - a[j], b[i] - b[j]) for i, j in combinations(range(len(a)), 2)]
    concordant = sum(x * y > 0 for x, y in pairs)
    discordant = sum(x * y < 0 for x, y in pairs)
    untied = sqrt(sum(x != 0 for x, _ in pairs) * sum(y != 0 for _, y in pairs))
    return (concordant - discordant) / untied if untied else None


costs = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 5).map(float), min_size=n, max_size=n)] * 2)
)


@settings(max_examples=80, deadline=None)
@given(costs)
def test_agreement_equals_counting_pairs(rows):
    a, b = rows
    found = cost_models.agreement({"a": a, "b": b})["a", "b"]
    assert found == (None if tau_b(a, b) is None else pytest.approx(tau_b(a, b)))


def test_models_that_turn_the_order_around_leave_no_robust_network():
    found = {"simple": [3.0, 2.0, 1.0], "event": [1.0, 2.0, 3.0], "like": [30.0, 20.0, 10.0]}
    taus = cost_models.agreement(found)
    assert (taus["simple", "event"], taus["simple", "like"]) == (-1.0, 1.0)
    assert cost_models.winners(found) == {"simple": 2, "event": 0, "like": 2}
    assert cost_models.robust_front(found) == []
    assert cost_models.robust_front({"simple": found["simple"], "like": found["like"]}) == [2]


def brute_front(rows, objective):
    """Networks that no other dominates under any model, one by one."""
    kept = []
    for i in range(len(objective)):
        beaten = False
        for row in rows:
            for j in range(len(objective)):
                better = row[j] <= row[i] and objective[j] <= objective[i]
                beaten |= better and (row[j] < row[i] or objective[j] < objective[i])
        if not beaten:
            kept.append(i)
    return kept


@settings(max_examples=80, deadline=None)
@given(costs, st.randoms(use_true_random=False))
def test_robust_front_equals_the_intersection_of_fronts(rows, random):
    objective = [random.randint(0, 4) for _ in rows[0]]
    found = cost_models.robust_front({"a": rows[0], "b": rows[1]}, [objective])
    assert found == brute_front(rows, objective)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"a": [1.0], "b": [2.0]}, "at least 2"),
        ({"a": [1.0, 2.0], "b": [2.0]}, "as many"),
        ({"a": [1.0, float("nan")], "b": [2.0, 1.0]}, "'a': found nan"),
        ({"a": [1.0, -1.0], "b": [2.0, 1.0]}, "'a': found -1.0"),
        ({}, "as many"),
    ],
)
def test_costs_that_cannot_be_ranked_are_errors(table, said):
    with pytest.raises(DataError, match=said):
        cost_models.agreement(table)


def test_an_objective_of_another_length_is_an_error():
    with pytest.raises(DataError, match="objective of shape"):
        cost_models.robust_front({"a": [1.0, 2.0]}, [[1.0]])
    with pytest.raises(DataError, match="no network"):
        cost_models.winners({"a": []})

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msenas_hw.search import Generation, Measured, Store, Trial
from targets.errors import DataError

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite, st.lists(finite, max_size=4), st.text(max_size=20))
def test_a_record_comes_back_equal(fitness, energy, draws, reason):
    rule = {"rule": "cores", "node": "n", "found": 3, "allowed": 2, "hint": "less"}
    record = Measured(
        "a",
        "{}",
        fitness,
        tuple(draws),
        energy_j=energy,
        broken=(rule,),
        motifs=("x",),
        reason=reason,
        seconds=0.5,
    )
    assert Measured.from_json(record.to_json(), 0.5) == record


def test_an_evaluation_belongs_to_its_setting(tmp_path):
    store = Store(tmp_path / "study.sqlite")
    store.add("key", "setting", Measured("key", "{}", fitness=0.1))
    assert Store(tmp_path / "study.sqlite").find("key", "setting") == Measured("key", "{}", fitness=0.1)
    assert store.find("key", "another") is None
    assert store.find("other", "setting") is None


def test_a_generation_told_twice_stands_once(tmp_path):
    store = Store(tmp_path / "study.sqlite")
    record = Measured("key", "{}")
    store.add("key", "setting", record)
    for _ in range(2):
        store.tell("setting", [Trial(0, 1, "key", record)], Generation(1, 1, 0, 0.0))
    assert store.trials() == [Trial(0, 1, "key", record)]
    assert store.generations() == [Generation(1, 1, 0, 0.0)]


def test_a_newer_study_is_refused(tmp_path):
    file = tmp_path / "study.sqlite"
    Store(file).close()
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(DataError, match="version 99"):
        Store(file)

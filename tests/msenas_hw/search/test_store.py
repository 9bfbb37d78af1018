from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msenas_hw.search import Generation, Measured, Store, Trial
from targets.errors import DataError, MsenasError

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


@pytest.fixture
def filled(tmp_path):
    store = Store(tmp_path / "study.sqlite")
    record = Measured("key", "{}")
    store.add("key", "setting", record)
    store.tell("setting", [Trial(0, 1, "key", record)], Generation(1, 1, 0, 0.0))
    store.close()
    return tmp_path / "study.sqlite"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE evaluations SET record = '{bad'",
        'UPDATE evaluations SET record = \'{"of": "another version"}\'',
        "ALTER TABLE trials RENAME TO lost",
    ],
)
def test_damage_is_told_with_the_way_out(filled, damage):
    with sqlite3.connect(filled) as database:
        database.execute(damage)
    database.close()
    with pytest.raises(DataError, match=f"damaged.*remove.*msenas resume {filled.parent}"):
        Store(filled).trials()


def test_a_full_disk_is_not_called_damage(filled):
    store = Store(filled)
    store._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(MsenasError, match="full; what is evaluated so far is kept") as caught:
        store.add("other", "setting", Measured("other", "x" * 100_000))
    assert not isinstance(caught.value, DataError)
    assert len(store.trials()) == 1


def test_a_reader_does_not_write(filled):
    with sqlite3.connect(filled) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(Store(filled).trials()) == 1
    writer.close()

from __future__ import annotations

import sqlite3
import subprocess
import sys

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


def test_a_page_that_is_overwritten_is_found_when_the_study_is_opened(tmp_path):
    store = Store(tmp_path / "study.sqlite")
    for index in range(60):
        store.add(f"key {index}", "setting", Measured(f"key {index}", "x" * 500))
    store.close()
    content = bytearray((tmp_path / "study.sqlite").read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\x07" * 4096
    (tmp_path / "study.sqlite").write_bytes(content)
    with pytest.raises(DataError, match=r"study\.sqlite: .*damaged.*remove it and run: msenas resume"):
        Store(tmp_path / "study.sqlite")


def test_who_locks_the_study_is_named(filled, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.store.BUSY_S", 0.1)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(filled)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MsenasError, match=f"locked by process {holder.pid}; what is evaluated so far"):
            Store(filled).add("other", "setting", Measured("other", "{}"))
    finally:
        holder.kill()
        holder.communicate()
    store = Store(filled)
    store.add("other", "setting", Measured("other", "{}"))
    assert store.find("other", "setting") is not None


HOLDER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(store, stored):
    for index in range(400):
        store.add(f"key {index}", "setting", Measured(f"key {index}", "x" * 1000))
        stored.append(index)


def test_a_full_disk_keeps_what_was_stored_and_goes_on_once_there_is_room(small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(150_000))
    store, stored = Store(small_disk / "study.sqlite"), []
    with pytest.raises(MsenasError, match="mend the cause and then run: msenas resume"):
        fill(store, stored)
    assert 10 < len(stored) < 400
    store.close()
    filler.unlink()
    again = Store(small_disk / "study.sqlite")
    assert all(again.find(f"key {index}", "setting") for index in stored)
    again.add("one more", "setting", Measured("one more", "{}"))
    assert again.find("one more", "setting") is not None

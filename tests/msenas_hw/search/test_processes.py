"""Worker processes that die, stall or cannot start."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.config import parse_config
from msenas_hw.search import setting, worker
from msenas_hw.search.processes import Processes
from msenas_hw.space import SpaceConfig, arch_id, sample
from targets.errors import MsenasError


@pytest.fixture(scope="module")
def deadly():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("deadly")


@pytest.fixture(scope="module")
def given():
    return setting(parse_config({"data": {"samples": 4, "steps": 4}}, "test"))


@pytest.fixture(scope="module")
def jobs(given):
    rng = np.random.default_rng(5)
    genomes = [sample(rng, SpaceConfig.model_validate({}), given.task) for _ in range(8)]
    return [(arch_id(genome, given.task), genome) for genome in genomes]


@pytest.fixture(scope="module")
def workplace(deadly, given, jobs, tmp_path_factory):
    """Two workers, to which some of the jobs do harm."""
    deeds = {0: "crash", 1: "stall", 2: "once"} | dict.fromkeys(range(3, 8), "wait")
    plain = {one.name: getattr(given, one.name) for one in fields(given)}
    named = {jobs[index][0]: deed for index, deed in deeds.items()}
    harmful = deadly.Deadly(**plain, deeds=named, folder=str(tmp_path_factory.mktemp("deeds")))
    with Processes(2, harmful, timeout_s=2.0) as workplace:
        yield workplace


def test_candidates_that_die_or_stall_are_failures_and_the_others_are_measured(workplace, deadly, jobs):
    found = dict(workplace.measure(jobs))
    assert sorted(found) == list(range(8))
    assert found[0].failure == "WorkerDied: the candidate ends its worker again and again (SIGSEGV)"
    assert found[1].failure == "TimeoutError: no result within 2 s (search.timeout_s)"
    assert 2.0 <= found[1].seconds < 10.0
    for index, (key, genome) in enumerate(jobs):
        assert (found[index].arch, found[index].genome) == (key, genome.to_json())
        if index > 1:
            assert found[index] == deadly.figures(genome, key)


def test_killed_workers_cost_only_time(workplace, deadly, jobs):
    found = {}
    for index, measured in workplace.measure(jobs[3:]):
        found[index] = measured
        if len(found) == 1:
            for worker in workplace._crew:
                os.kill(worker.process, signal.SIGKILL)
        if len(found) == 3:
            os.kill(workplace._template._process.pid, signal.SIGKILL)
    assert [found[index] for index in range(5)] == [deadly.figures(genome, key) for key, genome in jobs[3:]]


def test_no_process_is_left_when_the_results_are_not_wanted(workplace, jobs):
    results = workplace.measure(jobs[1:])
    next(results)
    processes = [*(worker.process for worker in workplace._crew), workplace._template._process.pid]
    assert len(processes) == 3
    results.close()
    workplace.__exit__(None, None, None)
    assert not [process for process in processes if Path(f"/proc/{process}").exists()]


def test_workers_that_cannot_start_end_the_search(given, monkeypatch):
    class Gone:
        def __reduce__(self):
            return (pickle.loads, (b"cno_such_module\nname\n.",))

    workplace = Processes(2, given)
    monkeypatch.setattr(workplace, "_setting", pickle.dumps(Gone()))
    with workplace, pytest.raises(MsenasError, match="can be started, tried 8 times: exit code 1"):
        list(workplace.measure([("key", None)] * 3))


def test_a_search_that_ends_before_it_has_sent_anything_leaves_no_traceback():
    ours, theirs = socket.socketpair()
    with theirs:
        words = [sys.executable, "-P", worker.__file__, str(theirs.fileno()), str(os.getpid())]
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    ours.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")

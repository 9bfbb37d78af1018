"""A search on a Ray cluster. Those tests that start one skip where extra `ray` is not installed."""

from __future__ import annotations

import sys

import pytest

from msenas_hw.config import parse_config
from msenas_hw.search import ray_pool, search
from targets.errors import ConfigError, MsenasError

SMALL = {
    "data": {"samples": 4, "steps": 4},
    "space": {"cells": [1, 2], "widths": [2, 3], "kernels": [3]},
    "search": {"population": 6, "generations": 3, "seed": 1},
}


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster of two nodes with one CPU each."""
    pytest.importorskip("ray", reason="extra ray is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def table(study):
    return [(t.number, t.generation, t.key, t.measured.to_json()) for t in study.trials()]


@pytest.mark.filterwarnings("default")
def test_a_killed_node_costs_only_time(two_nodes):
    nodes, counts = list(two_nodes.worker_nodes), []

    def kill_one(progress):
        counts.append(progress.evaluated)
        if len(counts) == 5:
            two_nodes.remove_node(nodes[0], allow_graceful=False)

    config = parse_config(SMALL, "test")
    on_ray = search(config, report=kill_one, ray=two_nodes.address)
    assert not two_nodes.worker_nodes
    assert table(on_ray) == table(search(config))
    assert len(table(on_ray)) == 18
    assert not any(trial.measured.failure for trial in on_ray.trials())


def test_where_ray_is_missing_the_command_that_installs_it_is_told(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'msenas-hw\[ray\]'"):
        search(config(), ray="local")


def test_an_address_where_nobody_listens_is_told(config):
    pytest.importorskip("ray", reason="extra ray is not installed")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9: no Ray cluster answers"):
        search(config(), ray="127.0.0.1:9")


class Full:
    """A cluster of so many CPUs, all held by others: an actor is made and never answers."""

    def __init__(self, cpus):
        self._cpus = cpus
        self.killed = 0

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": self._cpus} if self._cpus else {}

    def available_resources(self):
        return {}

    def put(self, value):
        return value

    def remote(self, *given, **options):
        return self if "num_cpus" not in options else lambda cls: self

    @property
    def digest(self):
        return Answer()

    def wait(self, references, num_returns, timeout):
        return [], references

    def kill(self, actor):
        self.killed += 1


class Answer:
    def remote(self):
        return object()


def test_a_cluster_without_a_free_cpu_is_told_and_given_up(config, monkeypatch):
    full = Full(4.0)
    monkeypatch.setattr(ray_pool, "_imported", lambda: full)
    monkeypatch.setattr(ray_pool, "PATIENCE_S", 0.05)
    told = r"--ray there: none of 4 actors .* of the cluster's 4 CPUs 0 are free"
    with (
        pytest.warns(UserWarning, match=told + "; waits up to"),
        pytest.raises(MsenasError, match=told + "; free some"),
    ):
        search(config(), ray="there")
    assert full.killed == 4


def test_a_cluster_without_any_cpu_is_refused(config, monkeypatch):
    monkeypatch.setattr(ray_pool, "_imported", lambda: Full(0))
    with pytest.raises(ConfigError, match="--ray there: the cluster has no CPU"):
        search(config(), ray="there")

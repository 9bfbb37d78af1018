"""A search on a Ray cluster. Those tests that start one skip where extra `ray` is not installed."""

from __future__ import annotations

import sys

import pytest

from msenas_hw.config import parse_config
from msenas_hw.search import search
from targets.errors import ConfigError

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

"""A few of the damaged files of `tests/benchmarks/fuzz_data.py`."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

FORMATS = (
    "mnist", "fashion-mnist", "cifar-10", "cifar-100", "imagenet16-120", "nmnist", "nmnist-1100",
    "cifar10-dvs", "cifar10-dvs-aedat4", "dvs128-gesture", "dvs128-gesture-npy", "shd", "ssc", "own-npz",
    "packed",
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_data.py"
    spec = spec_from_file_location("fuzz_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_load(fuzz, name):
    assert fuzz.FORMATS == FORMATS
    found = fuzz.run(name, 14, 7)
    assert found["unexpected"] == []
    assert found["forbidden"] == []
    assert found["unverified"] == 0
    assert found["loaded"] + found["refused"] == 14
    assert found["slowest_s"] < fuzz.SECONDS_LIMIT


def test_a_parser_that_unpickles_would_be_seen(fuzz, miniatures, tmp_path, monkeypatch):
    import pickle

    from msenas_hw.data.readers import cifar

    monkeypatch.setattr(cifar, "unpickled", lambda raw: pickle.loads(raw, encoding="latin1"))
    assert "pickle.find_class" in fuzz.run("imagenet16-120", 4, 7)["forbidden"]

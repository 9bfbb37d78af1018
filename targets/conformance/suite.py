"""What every target must do, as a pytest class to inherit from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from targets.conformance.cases import CASES, IMPOSSIBLE, RECORDED, bad_inputs, case, events
from targets.errors import ConfigError, DataError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING
from targets.run import Executable, Run
from targets.target import Refusal, Target, find

# For each arithmetic, targets to compare with; the first that is not the tested one is taken.
ORACLES: Mapping[str, tuple[str, ...]] = {
    "float32": ("reference", "onnx"),
    "float64": ("reference",),
    "fixed": ("loihi", "onnx"),
}
# LI, CubaLI and I give real values: the order of summation may show, relative to the largest.
_TOLERANCE = {"float32": 1e-4, "float64": 1e-9, "fixed": 0.0}
_BAD = ("no steps", "no samples", "one axis too few", "wrong shape", "NaN", "infinite", "text")


class TargetConformance:
    """Inherit, set `target`, run pytest.

    Attributes:
        target: the target under test.
        must_run: cases that it may not refuse; all it does not refuse are compared anyway.
    """

    target: ClassVar[Target]
    must_run: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture(autouse=True)
    def _available(self) -> None:
        missing = self.target.unavailable()
        if missing:
            pytest.skip(missing)

    def test_says_what_it_is(self) -> None:
        assert self.target.name
        assert self.target.describes
        assert self.target.arithmetics
        options = self.target.options()
        assert options.arithmetic == self.target.arithmetics[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            options.arithmetic = "decimal"

    def test_unknown_arithmetic_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="arithmetic"):
            self.target.compile(self._runnable(), self.target.options(arithmetic="decimal"))

    @pytest.mark.parametrize("name", CASES)
    def test_runs_a_case_as_its_peers_or_refuses_it(self, name: str) -> None:
        graph = case(name)
        if self._refusals(graph):
            assert name not in self.must_run
            return
        ran = [self._compared(graph, arithmetic) for arithmetic in self.target.arithmetics]
        assert ran[0], f"{name}: check refuses nothing, but compile refuses {self.target.arithmetics[0]}"

    @pytest.mark.parametrize("name", RECORDED)
    def test_recorded_spikes(self, name: str) -> None:
        recorded = RECORDED[name]
        graph = recorded.graph()
        if self._refusals(graph):
            return
        x = np.zeros((12, 2, 1), np.float32)
        x[list(recorded.fed), 1] = 1
        for arithmetic in self.target.arithmetics:
            run = self._compiled(graph, arithmetic).run(x)
            assert not run.output[:, 0].any(), arithmetic
            assert tuple(np.flatnonzero(run.output[:, 1, 0])) == recorded.fires, arithmetic

    @pytest.mark.parametrize("name", IMPOSSIBLE)
    def test_refuses_what_cannot_be(self, name: str) -> None:
        assert self._refusals(IMPOSSIBLE[name]())

    @pytest.mark.parametrize("name", _BAD)
    def test_bad_input_is_a_data_error(self, name: str) -> None:
        graph = self._runnable()
        for arithmetic in self.target.arithmetics:
            executable = self._compiled(graph, arithmetic)
            with pytest.raises(DataError):
                executable.run(bad_inputs(graph)[name])

    def test_unknown_record_is_a_data_error(self) -> None:
        graph = self._runnable()
        with pytest.raises(DataError, match="nowhere"):
            self._compiled(graph).run(events(graph), record=["nowhere"])

    def test_says_what_ran_and_how_much(self) -> None:
        graph = self._runnable()
        run = self._compiled(graph).run(events(graph, steps=5, samples=2))
        assert (run.steps, run.samples) == (5, 2)
        assert run.ran_on
        assert run.seconds > 0
        assert run.output.shape == (5, 2, *graph.shapes[graph.outputs[0]])

    def test_counts_are_the_recorded_spikes(self) -> None:
        graph = self._runnable()
        x = events(graph)
        run = self._compiled(graph).run(x, record=_spiking(graph))
        for name in _spiking(graph):
            assert np.array_equal(run.spike_counts[name], run.spikes[name].sum((0, 1))), name
        assert np.array_equal(run.spike_counts[graph.inputs[0]], (x != 0).sum((0, 1)))

    def test_runs_leave_nothing_behind(self) -> None:
        """Twice the same, in any order of samples, each alone, and the input is not written to."""
        graph = self._runnable()
        x = events(graph)
        kept = x.copy()
        executable = self._compiled(graph)
        whole = executable.run(x).output
        assert np.array_equal(executable.run(x).output, whole)
        assert np.array_equal(executable.run(x[:, ::-1]).output, whole[:, ::-1])
        for sample in range(x.shape[1]):
            alone = executable.run(x[:, sample : sample + 1]).output
            assert np.array_equal(alone, whole[:, sample : sample + 1])
        assert np.array_equal(x, kept)

    def test_other_types_of_spikes_are_the_same(self) -> None:
        graph = self._runnable()
        x = events(graph)
        executable = self._compiled(graph)
        whole = executable.run(x).output
        for dtype in (np.bool_, np.uint8, np.int64, np.float64):
            assert np.array_equal(executable.run(x.astype(dtype)).output, whole), dtype

    def _runnable(self) -> SpikingGraph:
        """The first case with a spiking population that the target does not refuse."""
        for name in reversed(CASES):
            graph = case(name)
            if _spiking(graph) and not self.target.check(graph):
                return graph
        pytest.fail("the target refuses every case")

    def _refusals(self, graph: SpikingGraph) -> list[Refusal]:
        """The refusals of `graph`, each with a node of it, or of the profile, and a reason."""
        found = self.target.check(graph)
        for refusal in found:
            assert isinstance(refusal, Refusal)
            assert refusal.node in (*graph.nodes, "profile"), refusal
            assert refusal.reason
        return found

    def _compiled(self, graph: SpikingGraph, arithmetic: str | None = None) -> Executable:
        options = self.target.options(arithmetic=arithmetic or self.target.arithmetics[0])
        return self.target.compile(graph, options)

    def _compared(self, graph: SpikingGraph, arithmetic: str) -> bool:
        """Whether the target holds `graph` in `arithmetic`; then its spikes equal those of a peer."""
        try:
            executable = self._compiled(graph, arithmetic)
        except UnsupportedNodeError:
            return False
        x, spiking = events(graph), _spiking(graph)
        ours = executable.run(x, record=spiking)
        for peer in ORACLES.get(arithmetic, ()):
            if peer != self.target.name:
                other = find(peer)
                compiled = other.compile(graph, other.options(arithmetic=arithmetic))
                _assert_equal(graph, ours, compiled.run(x, record=spiking), _TOLERANCE[arithmetic])
                break
        return True


def _spiking(graph: SpikingGraph) -> list[str]:
    return [name for name in graph.populations if isinstance(graph.nodes[name], SPIKING)]


def _assert_equal(graph: SpikingGraph, ours: Run, theirs: Run, tolerance: float) -> None:
    for name in _spiking(graph):
        assert np.array_equal(ours.spikes[name], theirs.spikes[name]), f"spikes of {name} differ"
        assert np.array_equal(ours.spike_counts[name], theirs.spike_counts[name]), f"counts of {name} differ"
    for name in graph.outputs:
        mine, expected = _wide(ours.outputs[name]), _wide(theirs.outputs[name])
        assert mine.shape == expected.shape, f"output {name}: {mine.shape}, expected {expected.shape}"
        bound = tolerance * float(np.abs(expected).max(initial=0.0))
        assert float(np.abs(mine - expected).max(initial=0.0)) <= bound, f"output {name} differs"


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)

"""Do all targets compute the same spikes? Compared neuron by neuron, step by step, sample by sample."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import DisagreementError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING
from targets.loihi.lower import lower
from targets.loihi.program import Program
from targets.run import Run
from targets.target import compile as compile_graph
from targets.target import find

FIXED = "fixed"
# LI and CubaLI outputs are real values: two float targets may differ by their order of summation.
# Relative to the largest value of the output.
_TOLERANCE: Mapping[str, float] = {"float32": 1e-4, "float64": 1e-9, FIXED: 0.0}


@dataclass(frozen=True)
class Divergence:
    """Where two targets first differ."""

    node: str
    step: int
    sample: int


@dataclass(frozen=True)
class Pair:
    """Two targets that share an arithmetic.

    Attributes:
        compared: neuron-steps compared, Input excluded.
        differing: spikes that differ (0 = equal), and output values of LI and CubaLI beyond tolerance.
        states_differing: values of u and v that differ, where both recorded them; else None.
        first: the earliest difference, or None.
    """

    a: str
    b: str
    arithmetic: str
    compared: int
    differing: int
    states_differing: int | None
    first: Divergence | None

    @property
    def agree(self) -> bool:
        """Nothing compared differs."""
        return self.differing == 0 and not self.states_differing and self.first is None


@dataclass(frozen=True)
class Quantisation:
    """What fixed arithmetic changed: spikes, and accuracy as a fraction where labels were given."""

    spikes_changed: int
    accuracy_float: float | None
    accuracy_fixed: float | None


@dataclass(frozen=True)
class Agreement:
    """Outcome of `verify`; `skipped` says why an arithmetic was left out."""

    pairs: tuple[Pair, ...]
    quantisation: Quantisation | None
    ran_on: Mapping[str, str]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        """Every pair agrees, and there is one."""
        return bool(self.pairs) and all(pair.agree for pair in self.pairs)

    def require(self) -> None:
        """DisagreementError that names the first difference of the first pair that disagrees."""
        if not self.pairs:
            raise DisagreementError("no two of these targets share an arithmetic, so nothing was compared")
        for pair in self.pairs:
            if not pair.agree:
                at = f" first at {pair.first}" if pair.first else ""
                raise DisagreementError(
                    f"{pair.a} and {pair.b} in {pair.arithmetic}: {pair.differing} of {pair.compared} "
                    f"spikes and {pair.states_differing or 0} states differ{at}"
                )

    def _repr_html_(self) -> str:
        from targets.notebook import table

        skipped = [f"{arithmetic} is not compared: {reason}" for arithmetic, reason in self.skipped.items()]
        said = "agree" if self.agree else "disagree" if self.pairs else "were not compared"
        return table([vars(pair) for pair in self.pairs], f"The targets {said}", skipped)

    def as_json(self) -> dict[str, Any]:
        """The `verify` keys of the command line."""
        return {
            "agree": self.agree,
            "pairs": [_pair_json(pair) for pair in self.pairs],
            "quantisation": None if self.quantisation is None else vars(self.quantisation).copy(),
            "ran_on": dict(self.ran_on),
            "skipped": dict(self.skipped),
        }


def _pair_json(pair: Pair) -> dict[str, Any]:
    # Pairs share a precision, so no divergence is rounding.
    first = None if pair.first is None else vars(pair.first).copy()
    return vars(pair) | {"rounding": 0, "first": first}


def verify(
    graph: SpikingGraph,
    x: NDArray[np.generic],
    targets: Sequence[str],
    labels: NDArray[np.integer[Any]] | None = None,
    program: Program | None = None,
) -> Agreement:
    """Run `x` [T, B, *input] on every target in every arithmetic it has, and compare each pair.

    The network is lowered once; every fixed-point target runs that program, or `program` where it is given.

    Raises:
        ConfigError, UnsupportedNodeError, TargetUnavailableError: a target is unknown, cannot run
            the graph, or is not there.
    """
    arithmetics = {name: find(name).arithmetics for name in dict.fromkeys(targets)}
    shared = {a for one, other in combinations(arithmetics.values(), 2) for a in one if a in other}
    record = tuple(n for n in graph.populations if isinstance(graph.nodes[n], SPIKING))
    skipped: dict[str, str] = {}
    if program is None:
        program, skipped = _lowered(graph, arithmetics, shared)
    shared -= set(skipped)
    runs: dict[str, dict[str, Run]] = {}
    for name, available in arithmetics.items():
        for arithmetic in available:
            if arithmetic not in shared:
                continue
            options: dict[str, Any] = {"arithmetic": arithmetic}
            if arithmetic == FIXED:
                options["program"] = program
            executable = compile_graph(graph, name, **options)
            runs.setdefault(arithmetic, {})[name] = executable.run(x, record, states=arithmetic == FIXED)
    pairs = tuple(
        _compare(graph, record, arithmetic, (a, found[a]), (b, found[b]))
        for arithmetic, found in runs.items()
        for a, b in combinations(found, 2)
    )
    ran_on = {
        f"{name} {arithmetic}": run.ran_on
        for arithmetic, found in runs.items()
        for name, run in found.items()
    }
    return Agreement(pairs, _quantisation(graph, x, runs, record, labels), ran_on, skipped)


def _lowered(
    graph: SpikingGraph, arithmetics: Mapping[str, Sequence[str]], shared: Collection[str]
) -> tuple[Program | None, dict[str, str]]:
    """The lowered network where it is compared, and why not where the chip cannot hold it.

    A target that has no other arithmetic was asked for by name, so its refusal is an error.
    """
    if FIXED not in shared:
        return None, {}
    try:
        return lower(graph), {}
    except UnsupportedNodeError as error:
        if any(set(held) == {FIXED} for held in arithmetics.values()) or set(shared) == {FIXED}:
            raise
        return None, {FIXED: str(error)}


def _compare(
    graph: SpikingGraph, record: Sequence[str], arithmetic: str, a: tuple[str, Run], b: tuple[str, Run]
) -> Pair:
    (name_a, run_a), (name_b, run_b) = a, b
    compared = differing = 0
    first: tuple[int, int, str, int] | None = None
    for order, node in enumerate(record):
        different = np.asarray(run_a.spikes[node]) != np.asarray(run_b.spikes[node])
        compared += different.size
        differing += int(different.sum())
        first = _earlier(first, _first(different, order, node))
    for order, output in enumerate(graph.outputs, start=len(record)):
        one, two = (np.asarray(run.outputs[output], dtype=np.float64) for run in (run_a, run_b))
        different = _unequal(one, two, _TOLERANCE[arithmetic])
        sources = graph.predecessors[output]
        if len(sources) != 1 or sources[0] not in record:
            compared += different.size
            differing += int(different.sum())
        first = _earlier(first, _first(different, order, output))
    where = None if first is None else Divergence(first[2], first[0], first[3])
    return Pair(name_a, name_b, arithmetic, compared, differing, _states_differing(run_a, run_b), where)


def _unequal(one: NDArray[np.float64], two: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Where two outputs differ by more than `tolerance` of the largest finite value; NaN equals nothing."""
    finite = np.abs(one[np.isfinite(one)])
    allowed = tolerance * max(1.0, float(finite.max(initial=0.0)))
    with np.errstate(invalid="ignore"):
        return ~((one == two) | (np.abs(one - two) <= allowed))


def _first(different: NDArray[np.bool_], order: int, node: str) -> tuple[int, int, str, int] | None:
    if not different.any():
        return None
    step, sample = np.argwhere(different)[0][:2]
    return int(step), order, node, int(sample)


def _earlier(
    a: tuple[int, int, str, int] | None, b: tuple[int, int, str, int] | None
) -> tuple[int, int, str, int] | None:
    return min((found for found in (a, b) if found is not None), default=None)


def _states_differing(a: Run, b: Run) -> int | None:
    if not a.states or not b.states:
        return None
    return sum(
        int((np.asarray(values) != np.asarray(b.states[node][key])).sum())
        for node, state in a.states.items()
        for key, values in state.items()
    )


def _quantisation(
    graph: SpikingGraph,
    x: NDArray[np.generic],
    runs: Mapping[str, Mapping[str, Run]],
    record: Sequence[str],
    labels: NDArray[np.integer[Any]] | None,
) -> Quantisation | None:
    if FIXED not in runs:
        return None
    fixed = next(iter(runs[FIXED].values()))
    floating = next((run for run in runs.get("float32", {}).values()), None)
    if floating is None:
        floating = compile_graph(graph, "reference").run(x, record)
    changed = sum(int((fixed.spikes[n] != floating.spikes[n]).sum()) for n in record)
    if labels is None:
        return Quantisation(changed, None, None)
    accuracy = [float((run.classes() == labels).mean()) for run in (floating, fixed)]
    return Quantisation(changed, accuracy[0], accuracy[1])

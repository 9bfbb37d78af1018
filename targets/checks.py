"""Checks that every target makes in the same words: the graph before compiling, the input before running."""

from __future__ import annotations

from collections.abc import Collection

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError, GraphError, UnsupportedNodeError
from targets.graph.dynamics import beyond_float32, dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION
from targets.graph.order import topological
from targets.graph.profile import HOUSE
from targets.target import Refusal

_PARAMETERS = ("weight", "bias", "scale", "threshold")


def check_graph(graph: SpikingGraph, any_profile: bool = False) -> list[Refusal]:
    """What no target of the house runs: no dt, bad or missing Delays, values beyond float32, several inputs.

    Unless `any_profile`, every difference from the house profile as well.
    """
    odd = {} if any_profile else graph.profile.differences(HOUSE)
    refusals = [
        Refusal("profile", f"{key}={found!r}, allowed {allowed!r}") for key, (found, allowed) in odd.items()
    ]
    if graph.profile.dt is None and any(
        isinstance(n, (*POPULATION, nir.Delay)) for n in graph.nodes.values()
    ):
        refusals.append(Refusal("profile", "dt is missing", 'give profile={"dt": 1e-4} or --profile dt=1e-4'))
        return refusals
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Delay):
            try:
                graph.delay_steps(name)
            except GraphError as error:
                refusals.append(Refusal(name, str(error)))
    if not refusals:
        refusals.extend(_cycles_without_delay(graph))
    if not refusals:
        refusals.extend(_without_coefficients(graph))
    refusals.extend(_beyond_float32(graph))
    if len(graph.inputs) > 1:
        refusals.append(Refusal(graph.inputs[1], f"{len(graph.inputs)} Input nodes, allowed one"))
    return refusals


def _cycles_without_delay(graph: SpikingGraph) -> list[Refusal]:
    waits = {n for n, node in graph.nodes.items() if isinstance(node, nir.Delay) and graph.delay_steps(n) > 0}
    refusals = []
    for members in graph.components:
        if members[0] not in graph.cyclic:
            continue
        inside = set(members)
        edges = [(a, b) for a, b in graph.edges if a in inside and b in inside and b not in waits]
        if topological(members, edges) is None:
            names = ", ".join(members)
            refusals.append(Refusal(members[0], f"a cycle through {names} holds no Delay", "add a nir.Delay"))
    return refusals


def _without_coefficients(graph: SpikingGraph) -> list[Refusal]:
    refusals = []
    for name in graph.populations:
        try:
            dynamics(graph, name)
        except (GraphError, UnsupportedNodeError) as error:
            refusals.append(Refusal(name, str(error)))
    return refusals


def _beyond_float32(graph: SpikingGraph) -> list[Refusal]:
    """Parameters of synapses and stateless nodes; `dynamics` sees to those of populations."""
    return [
        Refusal(name, f"{key} {fault}", "scale it down")
        for name, node in graph.nodes.items()
        for key in _PARAMETERS
        if hasattr(node, key) and (fault := beyond_float32(getattr(node, key)))
    ]


def check_input(
    graph: SpikingGraph, x: NDArray[np.generic], record: Collection[str], single: bool = False
) -> NDArray[np.generic]:
    """`x` if it holds finite real numbers [T, B, *input] with T and B at least 1.

    Args:
        single: float32 must hold them.

    Raises:
        DataError: anything else, or an unknown node in `record`.
    """
    shape = graph.shapes[graph.inputs[0]]
    x = np.asarray(x)
    if x.ndim < 2 or x.shape[2:] != shape or min(x.shape[:2]) < 1:
        allowed = ", ".join(["T >= 1", "B >= 1", *map(str, shape)])
        raise DataError(f"input {graph.inputs[0]!r}: found shape {x.shape}, allowed ({allowed})")
    if x.dtype.kind not in "biuf":
        raise DataError(
            f"input {graph.inputs[0]!r}: found dtype {x.dtype}, allowed bool, integers and floats"
        )
    if not np.isfinite(x).all():
        raise DataError(f"input {graph.inputs[0]!r}: holds NaN or infinite values")
    if single and (fault := beyond_float32(x)):
        raise DataError(f"input {graph.inputs[0]!r}: {fault}")
    for name in record:
        if name not in graph.nodes:
            raise DataError(f"record: node {name!r} does not exist, allowed {', '.join(graph.nodes)}")
    return x

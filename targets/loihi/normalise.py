"""Normalisation: every population in units of its own threshold, and what cannot be lowered.

With threshold minus reset as the unit, thresholds and gains that differ between neurons become row
scales of the incoming hops, so that one hardware threshold serves the population.
"""

from __future__ import annotations

from collections.abc import Sequence

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from targets.checks import check_graph
from targets.errors import GraphError
from targets.graph.dynamics import Dynamics, dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Bias, Folding, fold_graph
from targets.graph.kinds import READOUT, SPIKING, kind
from targets.loihi import limits
from targets.loihi.align import align
from targets.loihi.scale import Normalised
from targets.target import Refusal


def row_scale(terms: Dynamics) -> NDArray[np.float64]:
    """Per neuron: what one unit of summed input adds to the state, in thresholds."""
    assert terms.threshold is not None
    return (
        np.asarray(terms.gain, dtype=np.float64).ravel()
        / np.asarray(terms.threshold, dtype=np.float64).ravel()
    )


def normalise(graph: SpikingGraph, name: str, folding: Folding) -> Normalised:
    """Population `name` in units of its threshold; `refusals` must be empty."""
    terms = dynamics(graph, name)
    rows = row_scale(terms)
    hops = tuple(csr_matrix(diags(rows) @ h.matrix) for h in folding.hops if h.target == name)
    on_input = bias_table(folding.biases.get(name, ()), rows.size) * rows
    current_based = isinstance(graph.nodes[name], nir.CubaLIF)
    on_membrane = np.zeros_like(on_input) if current_based else on_input
    if terms.leak is not None:
        assert terms.threshold is not None
        on_membrane = on_membrane + (terms.leak.astype(np.float64) / terms.threshold).ravel()
    return Normalised(
        hops=hops,
        bias_u=on_input if current_based else np.zeros_like(on_input),
        bias_v=on_membrane,
        decay=_only(terms.decay, 1.0),
        decay_synapse=_only(terms.decay_synapse, 0.0),
    )


def bias_table(biases: Sequence[Bias], neurons: int) -> NDArray[np.float64]:
    """Bias of step k of the window [K, neurons]; the last row holds from then on."""
    table = np.zeros((max((b.onset for b in biases), default=0) + 1, neurons))
    for bias in biases:
        table[bias.onset :] += bias.value
    return table


def _only(values: NDArray[np.float32] | None, absent: float) -> float:
    return absent if values is None else float(values.flat[0])


def refusals(graph: SpikingGraph) -> list[Refusal]:
    """Every reason why `graph` cannot be lowered to a Loihi core."""
    found = check_graph(graph)
    if found:
        return found
    for name in graph.populations:
        found.extend(_population_refusals(graph, name))
    found.extend(_output_refusals(graph))
    try:
        folding = fold_graph(graph)
        delays = align(folding, graph.inputs).axonal_delays
    except GraphError as error:
        return [*found, Refusal(graph.inputs[0], str(error))]
    for hop, delay in zip(folding.hops, delays, strict=True):
        if delay > limits.AXONAL_DELAY_MAX:
            allowed = limits.AXONAL_DELAY_MAX
            reason = f"hop from {hop.source!r} needs {delay} steps of axonal delay, allowed {allowed}"
            found.append(Refusal(hop.target, reason))
    return found


def _population_refusals(graph: SpikingGraph, name: str) -> list[Refusal]:
    node = graph.nodes[name]
    if isinstance(node, READOUT):
        return [Refusal(name, f"{kind(node)} does not fire", "read out an IF population instead")]
    terms = dynamics(graph, name)
    assert terms.threshold is not None
    assert terms.reset is not None
    found = []
    for field in ("decay", "decay_synapse"):
        values = getattr(terms, field)
        if values is not None and np.unique(values).size > 1:
            reason = f"{field} takes {np.unique(values).size} values, allowed one in a hardware population"
            found.append(Refusal(name, reason, "split the population by time constant"))
        if values is not None and not (values.min() >= 0.0 and values.max() <= 1.0):
            found.append(Refusal(name, f"{field} is {values.min()}, allowed 0 to 1", "use a dt below tau"))
    if (terms.threshold <= 0).any():
        found.append(Refusal(name, f"threshold is {terms.threshold.min()}, allowed > 0"))
    if terms.reset.any():
        found.append(Refusal(name, "v_reset is not 0", "shift v_threshold and v_leak by v_reset"))
    return found


def _output_refusals(graph: SpikingGraph) -> list[Refusal]:
    found = []
    for name in graph.outputs:
        sources = graph.predecessors[name]
        if len(sources) != 1 or not isinstance(graph.nodes[sources[0]], SPIKING):
            reason = f"is fed by {', '.join(sources)}, allowed one spiking population"
            found.append(Refusal(name, reason, "end the network in an IF population"))
    return found

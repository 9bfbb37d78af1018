"""Normalisation: every population in units of its own threshold, and what cannot be lowered.

With threshold minus reset as the unit, thresholds and gains that differ between neurons become row
scales of the incoming hops, so that one hardware threshold serves the population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from targets.loihi.rounding import current_decay_field, decay_field
from targets.loihi.scale import Normalised
from targets.target import Refusal

# Profiles that a core runs: exponential decays are other values of du and dv.
_PROFILES: Mapping[str, tuple[object, ...]] = {
    "integrator": ("euler", "exponential"),
    "reset": ("to_value", "subtract"),
    "comparison": (">",),
    "spikes_per_step": ("one",),
    "clip": (None,),
}


def subtracts(terms: Dynamics) -> bool:
    """Whether a spike takes the threshold off the membrane."""
    return terms.rule is not None and terms.rule.reset == "subtract"


def unit(terms: Dynamics) -> NDArray[np.float64]:
    """Per neuron: the threshold above the value that a reset leaves, float64 [neurons]."""
    assert terms.threshold is not None
    assert terms.reset is not None
    threshold = terms.threshold.astype(np.float64).ravel()
    return threshold if subtracts(terms) else threshold - terms.reset.astype(np.float64).ravel()


def row_scale(terms: Dynamics) -> NDArray[np.float64]:
    """Per neuron: what one unit of summed input adds to the state, in thresholds."""
    return np.asarray(terms.gain, dtype=np.float64).ravel() / unit(terms)


def normalise(graph: SpikingGraph, name: str, folding: Folding) -> Normalised:
    """Population `name` in units of its threshold; `refusals` must be empty."""
    terms = dynamics(graph, name)
    rows = row_scale(terms)
    hops = tuple(csr_matrix(diags(rows) @ h.matrix) for h in folding.hops if h.target == name)
    on_input = bias_table(folding.biases.get(name, ()), rows.size) * rows
    current_based = isinstance(graph.nodes[name], nir.CubaLIF)
    on_membrane = np.zeros_like(on_input) if current_based else on_input
    if terms.leak is not None:
        on_membrane = on_membrane + terms.leak.astype(np.float64).ravel() / unit(terms)
    if not subtracts(terms):
        on_membrane = _above_reset(on_membrane, terms)
    return Normalised(
        hops=hops,
        bias_u=on_input if current_based else np.zeros_like(on_input),
        bias_v=on_membrane,
        decay=_flat(terms.decay, 1.0),
        decay_synapse=_flat(terms.decay_synapse, 0.0),
    )


def _above_reset(table: NDArray[np.float64], terms: Dynamics) -> NDArray[np.float64]:
    """The table for v' = v - v_reset, which a reset leaves at 0.

    v' decays toward -v_reset, hence the constant; v starts at 0, so v' at -v_reset, which the first
    step adds.
    """
    assert terms.reset is not None
    if not terms.reset.any():
        return table
    reset = terms.reset.astype(np.float64).ravel() / unit(terms)
    decay = 1.0 if terms.decay is None else terms.decay.astype(np.float64).ravel()
    rows = table if len(table) > 1 else np.vstack([table, table])
    moved = rows - (1.0 - decay) * reset
    moved[0] -= decay * reset
    return moved


def bias_table(biases: Sequence[Bias], neurons: int) -> NDArray[np.float64]:
    """Bias of step k of the window [K, neurons]; the last row holds from then on."""
    table = np.zeros((max((b.onset for b in biases), default=0) + 1, neurons))
    for bias in biases:
        table[bias.onset :] += bias.value
    return table


def _flat(values: NDArray[np.float32] | None, absent: float) -> NDArray[np.float64]:
    return np.array(absent) if values is None else values.astype(np.float64).ravel()


def refusals(graph: SpikingGraph) -> list[Refusal]:
    """Every reason why `graph` cannot be lowered to a Loihi core."""
    found = [*check_graph(graph, any_profile=True), *profile_refusals(graph)]
    if found:
        return found
    for name in graph.populations:
        found.extend(_population_refusals(graph, name))
    found.extend(_output_refusals(graph))
    try:
        align(fold_graph(graph), graph.inputs)
    except GraphError as error:
        found.append(Refusal(graph.inputs[0], str(error)))
    return found


def profile_refusals(graph: SpikingGraph) -> list[Refusal]:
    """What the graph's profile asks for and no core does."""
    found = []
    for key, allowed in _PROFILES.items():
        value = getattr(graph.profile, key)
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            hint = "train with, or convert to, a profile of the chip"
            found.append(Refusal("profile", f"{key}={value!r}, allowed {listed}", hint))
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
        if values is not None and not (values.min() >= 0.0 and values.max() <= 1.0):
            found.append(Refusal(name, f"{field} is {values.min()}, allowed 0 to 1", "use a dt below tau"))
    groups = decay_groups(terms)
    if groups > limits.PROFILES_MAX:
        reason = f"its neurons fall into {groups} groups of equal decays, allowed {limits.PROFILES_MAX} "
        hint = "share time constants between neurons, or split the population"
        found.append(Refusal(name, reason + "(compartment profiles of a core)", hint))
    if not (unit(terms) > 0).all():
        rule = "threshold" if subtracts(terms) else "threshold - v_reset"
        found.append(Refusal(name, f"{rule} is {unit(terms).min()}, allowed > 0"))
    return found


def decay_groups(terms: Dynamics) -> int:
    """Hardware populations that the neurons need: thresholds and gains fold into rows, decays do not."""
    fields = [
        field(values.astype(np.float64).ravel())
        for field, values in ((decay_field, terms.decay), (current_decay_field, terms.decay_synapse))
        if values is not None
    ]
    pairs = sum(part * (limits.DECAY_ONE + 1) ** place for place, part in enumerate(fields))
    return len(np.unique(pairs)) if fields else 1


def _output_refusals(graph: SpikingGraph) -> list[Refusal]:
    found = []
    for name in graph.outputs:
        sources = graph.predecessors[name]
        if len(sources) != 1 or not isinstance(graph.nodes[sources[0]], SPIKING):
            reason = f"is fed by {', '.join(sources)}, allowed one spiking population"
            found.append(Refusal(name, reason, "end the network in an IF population"))
    return found

"""A lowered network in the integers of a Loihi core, as ONNX, layer by layer.

Inputs and outputs are named as in the float form; spikes are float32, u and v int64. Synapses are
float32 products, exact because every partial sum stays below 2^24 (weights whose sums do not are split
in two); states are int64. Equations: `targets.loihi.program`. onnxruntime's int64 `Div` truncates toward
zero, as the core does; its BitShift knows no signed integers and its integer Conv no int64, hence Mul and
float products.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import ModelProto

from targets.errors import DataError, GraphError
from targets.graph.kinds import SPIKING
from targets.graph.order import topological
from targets.loihi.program import FixedHop, FixedPopulation, Integers, Program
from targets.onnx.body import FLOAT, INLINE_BYTES, INT64, Body, DelayLine
from targets.onnx.float_form import added
from targets.onnx.metadata import metadata
from targets.onnx.scan import scan_model
from targets.onnx.synapses import window

# float32 holds every integer up to this one.
EXACT = 2**24
_DENSE_BYTES = 2**34
_UNITY = 4096
# A current lies in (-2^23, 2^23] (Lava's bounds), a membrane in [-(2^23 - 1), 2^23 - 1].
_LIMIT = 2**23


def fixed_model(program: Program, record: Collection[str] = (), states: bool = False) -> ModelProto:
    """The portable form of `program`; raises what `fixed_body` does."""
    body = fixed_body(program, record, states)
    return scan_model(body, metadata(program.graph, "fixed", body))


def fixed_body(
    program: Program,
    record: Collection[str] = (),
    states: bool = False,
    counts: bool = True,
    inline_bytes: int = INLINE_BYTES,
) -> Body:
    """One step of `program` in integers.

    Raises:
        GraphError: a hop whose sums could leave float32's exact integers even in two parts, or whose
            matrix no memory holds, a negative exponent, or a cycle without delay.
        DataError: a recorded node that the lowered network does not hold.
    """
    for hop in program.hops:
        _check_hop(hop)
    form = _FixedForm(program, inline_bytes)
    form.step()
    shapes = {**program.inputs, **{p.name: p.shape for p in program.populations}}
    for output, source in program.outputs.items():
        form.emit(output, source, program.graph.shapes[output])
    for name in record:
        if name not in shapes and name not in program.outputs:
            allowed = ", ".join(shapes)
            raise DataError(f"record: {name!r} is folded into synapses in fixed point, allowed {allowed}")
        form.emit(f"{name}/spikes", program.outputs.get(name, name), program.graph.shapes[name])
    if counts:
        form.count()
    if states:
        form.emit_states()
    return form.body


def input_limit(program: Program) -> int:
    """The largest |value| of an input event for which every sum stays exact in float32."""
    rows = [_largest_row(hop, _split(hop)) for hop in program.hops if hop.source in program.inputs]
    return (EXACT - 1) // max([1, *rows])


def _parts(weights: Integers, bits: int) -> list[tuple[Integers, int]]:
    """`weights` as (part, factor): their sum is part * factor over all parts; the last `bits` bits apart."""
    if not bits:
        return [(weights, 1)]
    wide, half = weights.astype(np.int64), 1 << (bits - 1)
    low = ((wide + half) & (2 * half - 1)) - half
    return [((wide - low) >> bits, 1 << bits), (low, 1)]


def _largest_row(hop: FixedHop, bits: int) -> int:
    """The largest sum of absolute weights of a neuron, in any part."""
    if not hop.matrix.nnz:
        return 0
    sums = []
    for part, _ in _parts(hop.matrix.data, bits):
        absolute = hop.matrix.astype(np.int64)
        absolute.data = abs(part.astype(np.int64))
        sums.append(int(absolute.sum(axis=1).max()))
    return max(sums)


def _split(hop: FixedHop) -> int:
    """Bits of the weights that need a product of their own, so that each sum is exact in float32.

    Raises:
        GraphError: two products do not suffice.
    """
    whole = _largest_row(hop, 0)
    if whole < EXACT:
        return 0
    for bits in range(1, EXACT.bit_length()):
        if _largest_row(hop, bits) < EXACT:
            return bits
    raise GraphError(
        f"hop {hop.source!r} -> {hop.target!r}: the absolute weights of one neuron sum to {whole}, "
        f"and in two parts to more than {EXACT - 1} (float32's exact integers); use fewer synapses"
    )


def _check_hop(hop: FixedHop) -> None:
    found = 4 * hop.matrix.shape[0] * hop.matrix.shape[1]
    if hop.kernel is None and found > _DENSE_BYTES:
        # Before the dense matrix is made: it may be far larger than the memory.
        raise GraphError(
            f"hop {hop.source!r} -> {hop.target!r}: the dense matrix would take {found} bytes, allowed "
            f"{_DENSE_BYTES}; use fewer or narrower dense layers"
        )
    if hop.exponent < 0:
        raise GraphError(
            f"hop {hop.source!r} -> {hop.target!r}: weight exponent {hop.exponent}, allowed >= 0"
        )
    _split(hop)


class _FixedForm:
    """Builds one step; every value has shape [B, neurons]."""

    def __init__(self, program: Program, inline_bytes: int) -> None:
        self.program = program
        self.body = Body(inline_bytes)
        self.sizes = {n: int(np.prod(s)) for n, s in program.inputs.items()}
        self.sizes.update({p.name: int(np.prod(p.shape)) for p in program.populations})
        self.spikes: dict[str, str] = {}
        self.states: dict[str, dict[str, str]] = {}
        self._clock: str | None = None
        depths = {
            source: max(hop.delay for hop in program.hops if hop.source == source)
            for source in {hop.source: None for hop in program.hops}
        }
        self._lines = {
            name: DelayLine(self.body, name, depth, (self.sizes[name],))
            for name, depth in depths.items()
            if depth
        }

    def step(self) -> None:
        """Everything that happens in one time step."""
        for name, shape in self.program.inputs.items():
            now = self.body.input(name, shape)
            self.spikes[name] = self._reshaped(now, f"{name}/flat", (self.sizes[name],))
        populations = {p.name: p for p in self.program.populations}
        direct = [(h.source, h.target) for h in self.program.hops if h.delay == 0 and h.source in populations]
        order = topological(populations, direct)
        if order is None:
            raise GraphError("a cycle holds no Delay; add a nir.Delay of one step or more to an edge of it")
        for name in order:
            self._population(populations[name])
        for name, line in self._lines.items():
            line.push(self.spikes[name])
        if self._clock is not None:
            one = self.body.constant("step/one", np.array(1, np.int64))
            self.body.keep("step", self.body.op("Add", [self._clock, one], "step/next"))

    def emit(self, output: str, source: str, shape: tuple[int, ...]) -> None:
        """The spikes of `source` as model output [T, B, *shape]."""
        self.body.emit(output, self._reshaped(self.spikes[source], f"{output}/shaped", shape), shape, FLOAT)

    def emit_states(self) -> None:
        """u and v of every population as model outputs."""
        for population in self.program.populations:
            for state, value in self.states[population.name].items():
                name = f"{population.name}/{state}"
                shaped = self._reshaped(value, f"{name}/shaped", population.shape)
                self.body.emit(name, shaped, population.shape, INT64)

    def count(self) -> None:
        """Events of every neuron of the Input and of the spiking populations."""
        graph = self.program.graph
        for name, shape in self.program.inputs.items():
            self.body.count_input(f"{name}/count", name, shape)
        for population in self.program.populations:
            name, shape = population.name, population.shape
            if isinstance(graph.nodes[name], SPIKING):
                value = self._reshaped(self.spikes[name], f"{name}/counted", shape)
                self.body.count(f"{name}/count", value, shape)

    def _population(self, population: FixedPopulation) -> None:
        name, body = population.name, self.body
        before = body.state(f"{name}/v", (self.sizes[name],), INT64)
        u = self._current(population, before)
        leaks = np.any(population.dv)
        v = self._decayed(f"{name}/v", before, _UNITY - population.dv) if leaks else before
        v = body.op("Add", [v, u], f"{name}/charged")
        if population.bias_v.any():
            v = body.op("Add", [v, self._bias(f"{name}/bias_v", population.bias_v)], f"{name}/biased")
        low, high = self._integer(f"{name}/low", 1 - _LIMIT), self._integer(f"{name}/high", _LIMIT - 1)
        full = body.op("Clip", [v, low, high], f"{name}/clipped")
        threshold = self._integer(f"{name}/threshold", population.vth << 6)
        fired = body.op("Greater", [full, threshold], f"{name}/fired")
        if population.subtract:
            reset = body.op("Sub", [full, threshold], f"{name}/reset")
        else:
            reset = self._integer(f"{name}/reset", 0)
        after = body.op("Where", [fired, reset, full], f"{name}/v/next")
        self.spikes[name] = body.op("Cast", [fired], name, to=FLOAT)
        body.keep(f"{name}/v", after)
        self.states[name]["v"] = after

    def _current(self, population: FixedPopulation, v: str) -> str:
        """u of this step: decayed, (sum + bias) << 6 added, wrapped at 24 bits."""
        name, body = population.name, self.body
        hops = [(i, hop) for i, hop in enumerate(self.program.hops) if hop.target == name]
        terms = [self._synapses(hop, f"{name}/hop/{i}") for i, hop in hops]
        if not terms:
            terms.append(body.op("Sub", [v, v], f"{name}/nothing"))
        if population.bias_u.any():
            terms.append(self._bias(f"{name}/bias_u", population.bias_u))
        shift = self._integer(f"{name}/alignment", 1 << 6)
        u = body.op("Mul", [added(body, name, terms), shift], f"{name}/drive")
        factor = _UNITY - (population.du + 1)
        if np.any(factor):
            before = body.state(f"{name}/u", (self.sizes[name],), INT64)
            u = body.op("Add", [self._decayed(f"{name}/u", before, factor), u], f"{name}/u/sum")
        u = self._wrapped(f"{name}/u", u)
        if np.any(factor):
            body.keep(f"{name}/u", u)
        self.states[name] = {"u": u}
        return u

    def _decayed(self, name: str, value: str, factor: int | Integers) -> str:
        """trunc(value * factor / 4096); `factor` is one number or one a neuron."""
        scaled = self.body.op("Mul", [value, self._integer(f"{name}/factor", factor)], f"{name}/scaled")
        return self.body.op("Div", [scaled, self._integer(f"{name}/unity", _UNITY)], f"{name}/kept")

    def _wrapped(self, name: str, value: str) -> str:
        """2^23 - ((2^23 - value) mod 2^24): in (-2^23, 2^23]; ONNX's Mod has the divisor's sign."""
        limit = self._integer(f"{name}/limit", _LIMIT)
        period = self._integer(f"{name}/period", 2 * _LIMIT)
        below = self.body.op("Sub", [limit, value], f"{name}/below")
        inside = self.body.op("Mod", [below, period], f"{name}/inside")
        return self.body.op("Sub", [limit, inside], f"{name}/wrapped")

    def _synapses(self, hop: FixedHop, name: str) -> str:
        """(W @ s) << exponent in int64."""
        spikes = self._lines[hop.source].read(hop.delay) if hop.delay else self.spikes[hop.source]
        parts = [
            self._part(hop, spikes, part, factor, f"{name}{suffix}")
            for (part, factor), suffix in zip(self._weights(hop), ("", "/low"), strict=False)
        ]
        exact = added(self.body, name, parts)
        if not hop.exponent:
            return exact
        factor = self._integer(f"{name}/factor", 1 << hop.exponent)
        return self.body.op("Mul", [exact, factor], f"{name}/shifted")

    @staticmethod
    def _weights(hop: FixedHop) -> list[tuple[Integers, int]]:
        """The kernel or the dense matrix [in, out], in as many parts as exact sums need."""
        if hop.convolution is not None and hop.kernel is not None:
            return _parts(hop.kernel, _split(hop))
        return _parts(hop.matrix.toarray().T, _split(hop))

    def _part(self, hop: FixedHop, spikes: str, weights: Integers, factor: int, name: str) -> str:
        """weights @ s, times `factor`, in int64."""
        if hop.convolution is not None and hop.kernel is not None:
            node = self.program.graph.nodes[hop.convolution]
            shape = self.program.graph.input_shape(hop.convolution)
            kernel = self.body.constant(f"{name}/kernel", weights.astype(np.float32))
            image = self._reshaped(spikes, f"{name}/image", shape)
            summed = self.body.op("Conv", [image, kernel], f"{name}/conv", **window(node))
            summed = self._reshaped(summed, f"{name}/sum", (self.sizes[hop.target],))
        else:
            matrix = self.body.constant(f"{name}/matrix", weights.astype(np.float32))
            summed = self.body.op("MatMul", [spikes, matrix], f"{name}/sum")
        exact = self.body.op("Cast", [summed], f"{name}/exact", to=INT64)
        if factor == 1:
            return exact
        return self.body.op("Mul", [exact, self._integer(f"{name}/part", factor)], f"{name}/weighted")

    def _bias(self, name: str, table: Integers) -> str:
        """Row min(step, K - 1) of a bias table [K, neurons]."""
        if table.shape[0] == 1:
            return self.body.constant(name, table.astype(np.int64))
        if self._clock is None:
            self._clock = self.body.state("step", None, INT64)
        last = self._integer(f"{name}/last", table.shape[0] - 1)
        row = self.body.op("Min", [self._clock, last], f"{name}/row")
        rows = self.body.constant(f"{name}/rows", table.astype(np.int64))
        return self.body.op("Gather", [rows, row], name, axis=0)

    def _integer(self, name: str, value: int | Integers) -> str:
        return self.body.constant(name, np.array(value, np.int64))

    def _reshaped(self, value: str, name: str, shape: tuple[int, ...]) -> str:
        target = self.body.constant(f"{name}/shape", np.array([0, *shape], np.int64))
        return self.body.op("Reshape", [value, target], name)

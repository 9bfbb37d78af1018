"""What this core can do: matrix products and memory traffic, measured beside the runs they limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from executor_networks import DenseCost

PRODUCT = 768
# Three arrays of this side stay in the second-level cache.
SMALL = 160
# Three arrays of this many float32 stay in the second-level cache.
STREAM = 24 * 1024
REPEATS = 400
# float32 read and written a neuron and step: the current and the spike; in training the membrane is
# kept as well, and the gradient reads it and the spike's gradient and writes the current's.
FORWARD_BYTES = 8.0
TRAINING_BYTES = 24.0


def cpu_s(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of this process's processors a call, over `repeats` calls."""
    started = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - started) / repeats


def alternately(one: Callable[[], object], other: Callable[[], object], repeats: int) -> float:
    """Time of `one` over that of `other`, call by call in turn, so that a changing machine changes both."""
    total = [0.0, 0.0]
    for _ in range(repeats):
        total[0] += cpu_s(one)
        total[1] += cpu_s(other)
    return total[0] / total[1]


class Core:
    """The peak of one core: `flops_s` of float32 matrix products and `bytes_s` of the second-level cache."""

    def __init__(self) -> None:
        self._a = torch.rand(PRODUCT, PRODUCT)
        self._out = torch.empty(PRODUCT, PRODUCT)
        self._stream = [torch.rand(STREAM) for _ in range(3)]
        self._short = [torch.rand(1) for _ in range(3)]
        self.measure()

    def measure(self) -> None:
        """Measure both again; call it once a round, since a shared machine drifts."""
        product = min(cpu_s(lambda: torch.mm(self._a, self._a, out=self._out)) for _ in range(3))
        self.flops_s = 2.0 * PRODUCT**3 / product
        long, short = (min(self._add(arrays) for _ in range(3)) for arrays in (self._stream, self._short))
        self.bytes_s = 12.0 * STREAM / (long - short)

    def _add(self, arrays: list[torch.Tensor]) -> float:
        a, b, out = arrays
        return cpu_s(lambda: torch.add(a, b, out=out), REPEATS)

    def two_threads(self, seconds: float) -> float:
        """Wall time of about `seconds` of products in one thread over that of half of them in each of two."""
        half = max(1, round(seconds * self.flops_s / (2 * 2.0 * SMALL**3)))
        operands = [(torch.rand(SMALL, SMALL), torch.empty(SMALL, SMALL)) for _ in range(2)]

        def products(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
            for _ in range(half):
                torch.mm(pair[0], pair[0], out=pair[1])

        started = time.perf_counter()
        for pair in operands:
            products(pair)
        one = time.perf_counter() - started
        with ThreadPoolExecutor(2) as threads:
            started = time.perf_counter()
            list(threads.map(products, operands))
            return one / (time.perf_counter() - started)

    def dense_s(self, cost: DenseCost, training: bool, samples_steps: int) -> float:
        """Seconds of the dense network where neither multiplier nor cache ever waits."""
        flops = cost.training_flops if training else cost.flops
        traffic = cost.neurons * (TRAINING_BYTES if training else FORWARD_BYTES)
        return samples_steps * (flops / self.flops_s + traffic / self.bytes_s)

"""Counts as our operators give them (`operators`): small sums, and 64 bits a neuron for who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain, pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.onnx.body import Body

# Where the neurons of a node lie among all, and its shape.
Place = tuple[slice, tuple[int, ...]]


def places(body: Body) -> dict[str, Place]:
    """The places of the nodes of `body` in its output COUNTS."""
    own = [out for out in body.counted if out.own]
    ends = accumulate((prod(out.dims) for out in own), initial=0)
    return {
        out.name.removesuffix("/count"): (slice(*at), out.dims)
        for out, at in zip(own, pairwise(ends), strict=True)
    }


def summed(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """The sum of unsigned whole numbers in the smallest type that holds it, in which numpy is fastest."""
    first, *others = parts
    if not others:
        return first
    total = first.astype(np.min_scalar_type(np.iinfo(first.dtype).max * (1 + len(others))))
    for part in others:
        total += part
    return total


class Counts(Mapping[str, NDArray[np.int64]]):
    """`{node: int64 [*dims]}`; what small sums wait for is made when the first of it is read, and then stays.

    To make eight bytes a neuron of what fits one would take a twentieth of a short call.
    """

    def __init__(
        self, made: Mapping[str, NDArray[np.int64]], parts: NDArray[Any], waiting: Mapping[str, Place]
    ) -> None:
        """Args: what is `made`, and `parts` [parts, neurons] that add up to the counts of those `waiting`."""
        self._made, self._parts, self._waiting = made, parts, waiting
        self._total: NDArray[np.int64] | None = None

    def __getitem__(self, node: str) -> NDArray[np.int64]:
        if node in self._made:
            return self._made[node]
        at, dims = self._waiting[node]
        if self._total is None:
            self._total = summed(self._parts).astype(np.int64)
        return self._total[at].reshape(dims)

    def __iter__(self) -> Iterator[str]:
        return chain(self._waiting, self._made)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._made)

    def __repr__(self) -> str:
        return repr(dict(self))

"""Counts as our operators give them (`operators`): small sums, and 64 bits a neuron for who reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.onnx.body import Body
from targets.run import Run

# Where the neurons of a node lie among all, and its shape.
Place = tuple[slice, tuple[int, ...]]
# Counts of each node, int64 [*dims].
Made = dict[str, NDArray[np.int64]]


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


class LateRun(Run):
    """A run whose spike counts become arrays when they are first read, and then stay.

    To make eight bytes a neuron of what fits one or two would take a twentieth of a short call.
    """

    def __init__(self, count: Callable[[], Made] | None = None, **fields: Any) -> None:
        """Args: `count`, what makes the counts; the fields of a `Run`."""
        self.__dict__.update(fields if count is None else {**fields, "_count": count})

    def __getattr__(self, name: str) -> Any:
        # Python asks for what is not there yet.
        if name != "spike_counts":
            raise AttributeError(name)
        count = self.__dict__.get("_count")
        if count is not None:
            # Of two threads that read at once, both keep the arrays of the first.
            self.__dict__.setdefault(name, count())
            self.__dict__.pop("_count", None)
        return self.__dict__[name]


def counts(total: NDArray[Any], places: Mapping[str, Place], known: Made) -> Made:
    """The counts of `places`, which are those of all neurons, `total`, and those `known`."""
    wide = total.astype(np.int64)
    return {node: wide[at].reshape(dims) for node, (at, dims) in places.items()} | known

"""The contract of a target: two verbs, found by entry point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

from targets.errors import ConfigError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.run import Executable

GROUP = "msenas_hw.targets"


@dataclass(frozen=True)
class Refusal:
    """One reason why a target cannot run a graph."""

    node: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"node {self.node!r}: {self.reason}{tail}"


class Target(Protocol):
    """A machine, or a program, that runs spiking graphs.

    Attributes:
        name: how users call it.
        describes: what runs, in words.
        arithmetics: the first is the default.
        options: a frozen dataclass; its fields are the keyword options of `compile`.
    """

    name: str
    describes: str
    arithmetics: tuple[str, ...]
    options: type[Any]

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot run here; empty where it can."""
        ...

    def compile(self, graph: SpikingGraph, options: Any) -> Executable:
        """The graph made runnable; call `check` first."""
        ...

    def unavailable(self) -> str | None:
        """Why the target cannot run on this machine and what to do, or None where it can."""
        ...


def names() -> list[str]:
    """Names of all installed targets."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find(name: str) -> Target:
    """The target called `name`; ConfigError lists the known ones."""
    for point in entry_points(group=GROUP):
        if point.name == name:
            target: Target = point.load()()
            return target
    raise ConfigError(f"unknown target {name!r}, allowed {', '.join(names())}")


def compile(graph: SpikingGraph, target: str, **options: Any) -> Executable:
    """Compile `graph` for `target`, refusing with every reason at once.

    Raises:
        ConfigError: unknown target or option.
        UnsupportedNodeError: the target cannot run the graph.
    """
    chosen = find(target)
    refusals = chosen.check(graph)
    if refusals:
        raise UnsupportedNodeError(f"{target} cannot run this graph:\n" + listed(refusals))
    try:
        typed = chosen.options(**options)
    except TypeError as error:
        raise ConfigError(f"target {target!r}: {error}") from None
    return chosen.compile(graph, typed)


def listed(refusals: Sequence[Refusal]) -> str:
    """Refusals as one indented line each."""
    return "\n".join(f"  {refusal}" for refusal in refusals)

"""Learning rules, one for each layer of a network, freely mixed.

    rules = Rules(default="bp", hidden1="fa+trace", hidden2="dfa+trace")
    hooks = RuleHooks(graph, rules, seed=0, classes=10)

`Rules` and `LayerRules` are what a configuration and a genome hold (`assignment`); `canonical` gives
equal assignments one form; `RuleHooks` puts them to work; `step_wise` trains in memory that does not
grow with time; `true_gradient` is for attacks and for measuring angles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msenas_hw.training.rules.assignment import LayerRules, Rules
from msenas_hw.training.rules.canonicalise import canonical
from msenas_hw.training.rules.words import PRESETS, WORDS

if TYPE_CHECKING:
    from msenas_hw.training.rules.deltas import Plasticity
    from msenas_hw.training.rules.online import step_wise
    from msenas_hw.training.rules.rule_hooks import RuleHooks, true_gradient

_LAZY = {
    "Plasticity": "deltas",
    "step_wise": "online",
    "RuleHooks": "rule_hooks",
    "true_gradient": "rule_hooks",
}

__all__ = [
    "PRESETS",
    "WORDS",
    "LayerRules",
    "Plasticity",
    "RuleHooks",
    "Rules",
    "canonical",
    "step_wise",
    "true_gradient",
]


def __getattr__(name: str) -> Any:
    """What runs rules imports torch, which takes seconds; a configuration does without it."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)

"""Which rule each layer of a network learns by: typed, frozen, with a text form for configurations.

A layer is a population with the synapse nodes that lead into it, and is called by the population's
name. Its text is words joined by "+", e.g. `fa+trace` or `dfa+trace+frozen`; a preset (`ottt`) is
replaced by its words, and words after it win.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_serializer, model_validator

from msenas_hw.training.rules.words import PRESETS, WORDS, Below, Delta, Feedback, Teacher, Temporal
from targets.errors import ConfigError

DEFAULT = "default"


class LayerRules(BaseModel):
    """The rules of one layer.

    Attributes:
        feedback: what carries the error through the layer's synapses to the layers below.
        teacher: what gives the layer its error in place of the layers above.
        temporal: how the error of a spike becomes a change of weights: back through time, by a
            presynaptic trace, or by the step's own input.
        frozen: weights stay as they are.
        delta: a local rule that changes the weights without an error.
        below: whether an error is sent on to the layers below; `stop` where `teacher` is `local` or a
            `delta` is given, unless said otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feedback: Feedback = "bp"
    teacher: Teacher = "none"
    temporal: Temporal = "bptt"
    frozen: bool = False
    delta: Delta = "none"
    below: Below = "pass"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        fields = parse("rules", value) if isinstance(value, str) else value
        if isinstance(fields, Mapping) and "below" not in fields:
            return {**fields, "below": _below(fields)}
        return fields

    @model_serializer
    def text(self) -> str:
        """The shortest text that reads as these rules."""
        words: list[str] = [self.feedback]
        words += [word for word in (self.teacher, self.delta) if word != "none"]
        words += [self.temporal] if self.temporal != "bptt" else []
        words += ["frozen"] if self.frozen else []
        words += [self.below] if self.below != _below(vars(self)) else []
        return "+".join(words)

    def __str__(self) -> str:
        return self.text()


def _below(fields: Mapping[str, Any]) -> Below:
    local = fields.get("teacher") == "local" or fields.get("delta", "none") != "none"
    return "stop" if local else "pass"


def parse(layer: str, text: str) -> dict[str, str | bool]:
    """Fields of `LayerRules` from their text form.

    Raises:
        ConfigError: an unknown word, with the nearest one; two words for one field.
    """
    found: dict[str, str | bool] = {}
    given: dict[str, str] = {}
    for place, word in enumerate(w.strip() for w in text.lower().split("+")):
        if word in PRESETS and place == 0:
            found.update(WORDS[w] for w in PRESETS[word])
            continue
        if word not in WORDS:
            raise ConfigError(
                f"layer {layer!r}: unknown learning rule {word!r}, allowed {', '.join(WORDS)}; "
                f"first of all {', '.join(PRESETS)}{nearest(word, (*WORDS, *PRESETS))}"
            )
        field, value = WORDS[word]
        if field in given:
            raise ConfigError(
                f"layer {layer!r}: found {given[field]!r} and {word!r}, allowed one {field} rule a layer"
            )
        given[field] = word
        found[field] = value
    return found


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing where no allowed word is near."""
    near = difflib.get_close_matches(word, list(allowed), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


class Rules(RootModel[dict[str, LayerRules]]):
    """`{layer: its rules}`; the key "default" holds those of the layers not named, which without it is `bp`.

    A layer that is named takes nothing from the default.

    Rules(default="bp", hidden1="fa+trace") in Python, the same keys as a table in a configuration,
    and `model_dump_json` / `model_validate_json` for files.
    """

    model_config = ConfigDict(frozen=True)

    root: dict[str, LayerRules] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: parse(name, text) if isinstance(text, str) else text for name, text in value.items()}

    @property
    def default(self) -> LayerRules:
        """Rules of the layers that are not named."""
        return self.root.get(DEFAULT, LayerRules())

    @property
    def named(self) -> dict[str, LayerRules]:
        """The layers that are named."""
        return {name: rules for name, rules in self.root.items() if name != DEFAULT}

    def of(self, layer: str) -> LayerRules:
        """Rules of `layer`."""
        return self.root.get(layer, self.default)

"""The words of learning rules, and the names that combinations of them have in the literature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Feedback = Literal["bp", "fa", "usf", "brsf", "frsf"]
Teacher = Literal["none", "dfa", "sdfa", "drtp", "local"]
Temporal = Literal["bptt", "trace", "none"]
Delta = Literal["none", "stdp", "rstdp", "softhebb"]
Below = Literal["pass", "stop"]

# Each word of the text form sets one field; "none" is the temporal rule, since no teacher and no
# delta need no word.
WORDS: Mapping[str, tuple[str, str | bool]] = {
    **{word: ("feedback", word) for word in get_args(Feedback)},
    **{word: ("teacher", word) for word in get_args(Teacher)},
    **{word: ("delta", word) for word in get_args(Delta)},
    **{word: ("temporal", word) for word in get_args(Temporal)},
    **{word: ("below", word) for word in get_args(Below)},
    "frozen": ("frozen", True),
}

# Sources: STBP, Wu et al., Front. Neurosci. 12:331 (2018); e-prop with random feedback, Bellec et al.,
# Nat. Commun. 11:3625 (2020); OTTT, Xiao et al., NeurIPS 2022; SLTT, Meng et al., ICCV 2023; DECOLLE,
# Kaiser et al., Front. Neurosci. 14:424 (2020).
PRESETS: Mapping[str, tuple[str, ...]] = {
    "stbp": ("bp", "bptt"),
    "e-prop": ("dfa", "trace"),
    "ottt": ("bp", "trace"),
    "sltt": ("bp", "none"),
    "decolle": ("local", "trace", "stop"),
}

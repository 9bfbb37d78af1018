"""Rounding: float parameters in chip units to the integers that fit the fields.

Contract: every result lies inside its field and is the nearest value that the field can hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from targets.loihi import limits
from targets.loihi.scale import exponent_for, weight_limit, weight_step

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def sign_mode(values: Floats) -> str:
    """ "excitatory", "inhibitory" or "mixed": which weight format holds `values`."""
    if (values >= 0).all():
        return "excitatory"
    return "inhibitory" if (values <= 0).all() else "mixed"


def round_weights(values: Floats, sign: str, bits: int, exponent: int | None = None) -> tuple[Integers, int]:
    """Stored weights and exponent e with `values` ~ stored << e.

    Args:
        exponent: None takes the smallest that holds every value; below it, the largest are clipped.

    Raises:
        ConfigError: one bit for weights of both signs.
    """
    step, limit = weight_step(sign, bits), weight_limit(sign, bits)
    # Half a step above the limit still rounds to it.
    if exponent is None:
        exponent = exponent_for(float(np.abs(values).max(initial=0.0)), limit + step / 2)
    stored = np.rint(values / (step * 2**exponent)).astype(np.int64) * step
    return np.clip(stored, -limit, limit), exponent


def round_membrane_bias(values: Floats, least_exponent: int = 0) -> Integers:
    """Biases in state units as mantissa << exponent, one exponent for the population."""
    exponent = exponent_for(float(np.abs(values).max(initial=0.0)), limits.BIAS_MANTISSA_MAX)
    exponent = max(exponent, least_exponent)
    mantissa = np.rint(values / 2**exponent).astype(np.int64)
    return np.clip(mantissa, -limits.BIAS_MANTISSA_MAX, limits.BIAS_MANTISSA_MAX) << exponent


def round_source_bias(values: Floats) -> Integers:
    """Biases on the current, in weight units, as a constant source's mixed-sign synapses hold them."""
    stored, exponent = round_weights(values, "mixed", 8)
    return stored << exponent


def decay_field(kept: Floats | float) -> Integers:
    """12-bit decay fields of states that keep the share `kept` in one step, in the shape of `kept`."""
    return np.clip(_lost(kept), 0, limits.DECAY_MAX)


def current_decay_field(kept: Floats | float) -> Integers:
    """As `decay_field`, for du, to which the chip adds one: du = 0 still loses 1 / 4096 a step."""
    return np.clip(_lost(kept), 1, limits.DECAY_ONE) - 1


def _lost(kept: Floats | float) -> Integers:
    return np.rint((1.0 - np.asarray(kept)) * limits.DECAY_ONE).astype(np.int64)

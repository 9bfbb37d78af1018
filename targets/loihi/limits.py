"""Widths of a Loihi core's fields.

Davies et al., IEEE Micro 38(1), 2018; field widths and shifts as in Lava 0.10.0's bit-accurate
LIF and Dense models.
"""

from __future__ import annotations

STATE_BITS = 24
STATE_MAX = 2 ** (STATE_BITS - 1) - 1
STATE_SHIFT = 6  # weights and thresholds stand 6 bits above the least bit of u and v
DECAY_ONE = 4096
DECAY_MAX = DECAY_ONE - 1
NO_SYNAPTIC_MEMORY = DECAY_MAX  # du that leaves nothing of the old current
THRESHOLD_MAX = 2**17 - 1
BIAS_MANTISSA_MAX = 2**12 - 1
BIAS_EXPONENT_MAX = 7
WEIGHT_EXPONENT_MAX = 7
WEIGHT_BITS = range(1, 9)
AXONAL_DELAY_MAX = 62
# Compartment configurations of a core, each with its own decays (nengo-loihi, hardware/nxsdk_objects.py).
PROFILES_MAX = 32
EXACT_FLOAT32 = 2**24
# Largest summed input that cannot wrap a 24-bit current.
SUM_MAX = STATE_MAX >> STATE_SHIFT

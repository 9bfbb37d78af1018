"""Make lava-nc 0.10.0 importable on Python 3.11 and later; import this before anything of Lava.

Python 3.11 refuses unhashable dataclass instances as field defaults, and one module of Lava has
some: while that module loads, dataclasses get a hash. No file of Lava is changed.
"""

import dataclasses


def _hashable(cls=None, /, **keywords):
    keywords.setdefault("unsafe_hash", True)
    return _original(cls, **keywords)


_original = dataclasses.dataclass
dataclasses.dataclass = _hashable
try:
    import lava.magma.compiler.var_model  # noqa: F401
finally:
    dataclasses.dataclass = _original

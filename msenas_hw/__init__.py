"""Neuromorphic-hardware-aware architecture search for spiking networks.

config = msenas_hw.load_config(Path("quickstart.toml"))
study = msenas_hw.search(config)        # -> Study: front(), trials(), to_frame(), plot()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msenas_hw.config import Config, load_config
    from msenas_hw.search import Study, resume, search

__all__ = ["Config", "Study", "load_config", "resume", "search"]

_HOMES = {"Config": "msenas_hw.config", "load_config": "msenas_hw.config"}


def __getattr__(name: str) -> Any:
    """Import public names when they are used, so that the command line starts quickly."""
    if name not in __all__:
        raise AttributeError(f"module 'msenas_hw' has no attribute {name!r}")
    from importlib import import_module

    home = import_module(_HOMES.get(name, "msenas_hw.search"))
    return home if name == "search" else getattr(home, name)

"""The one exception tree of the three packages.

    MsenasError
    ├── GraphError              a graph or a NIR file is malformed
    ├── UnsupportedNodeError    a target cannot run a node (carries every refusal)
    ├── DoesNotFitError         a network breaks a rule of a chip
    ├── BudgetError             no network of the search meets the budget
    ├── TargetUnavailableError  a target's runtime is missing or broken
    ├── DisagreementError       two targets computed different spikes
    ├── ConfigError             a configuration is wrong
    └── DataError               a data set is missing or malformed

Every message says what failed, on which node or key, found against allowed, and what to do.
"""

from __future__ import annotations


class MsenasError(Exception):
    """Root of every error that the toolkit raises on purpose."""


class GraphError(MsenasError):
    """A graph or a NIR file is malformed."""


class UnsupportedNodeError(MsenasError):
    """A target cannot run a node; the message lists every refusal."""


class DoesNotFitError(MsenasError):
    """A network breaks a rule of a chip."""


class BudgetError(MsenasError):
    """No network meets the budget."""


class TargetUnavailableError(MsenasError):
    """A target's runtime is missing, broken, or did not answer in time."""


class DisagreementError(MsenasError):
    """Two targets that must agree computed different spikes."""


class ConfigError(MsenasError):
    """A configuration file or option is wrong."""


class DataError(MsenasError):
    """A data set is missing or malformed."""

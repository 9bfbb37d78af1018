"""What the tests of Lava share."""

from __future__ import annotations

import pytest

from targets.errors import TargetUnavailableError
from targets.lava.environment import interpreter


@pytest.fixture(scope="session")
def lava_environment() -> None:
    """Skips where no interpreter of Lava is installed; a broken one fails its tests."""
    try:
        interpreter()
    except TargetUnavailableError:
        pytest.skip("no Lava environment")

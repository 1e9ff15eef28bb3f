"""The real networks: `make test` fetches them, so that these tests run in continuous integration."""

from __future__ import annotations

import pytest

from gagjax.tracking import models


@pytest.fixture(scope="session")
def networks():
    """The installed networks by name; skips where nobody has run `gagjax models`."""
    if not models.complete():
        pytest.skip("needs the face networks: run `gagjax models` (make test does)")
    return models.installed()

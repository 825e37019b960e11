"""Fixtures of tests that load modules of users."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def same_modules_afterwards() -> Iterator[None]:
    """What a test imports, and the folders that it imports from, are gone behind it."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
    sys.path[:] = path

"""The crawler as a whole, mostly in containers, with what the other tests in containers have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker.conftest import clone, docker_setup, own_images

__all__ = ["clone", "docker_setup", "own_images"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.alone)  # its rates are measured
            item.add_marker(pytest.mark.timeout(300))

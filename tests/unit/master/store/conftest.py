"""The engines over which each test of the contract runs, and a store of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from master.store.contract import Store
from tests.unit.master.store_records import ENGINES, Engine, engine_of


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = engine_of(request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(engine: Engine) -> Store:
    return engine.open()

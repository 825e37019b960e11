"""Twenty seconds of chaos from a fixed seed; `make chaos SECONDS=600 SEED=7` does more of it."""

from __future__ import annotations

import os

import pytest

from tests.chaos.driver import run_chaos
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.alone

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.timeout(SECONDS + 160)
def test_after_chaos_everything_that_was_accepted_has_ended_once_and_right() -> None:
    replay = f"make chaos SECONDS={SECONDS:g} SEED={SEED}"
    fine, text = run_chaos(SEED, lambda chaos: chaos.run_for(SECONDS), replay)
    print(text)
    assert fine, text


@pytest.mark.timeout(SECONDS + 160)
def test_after_chaos_on_a_database_everything_has_ended_once_and_right(
    own_postgres: PostgresServer,
) -> None:
    fine, text = run_chaos(
        SEED,
        lambda chaos: chaos.run_for(SECONDS / 2),
        f"CHAOS_SECONDS={SECONDS:g} CHAOS_SEED={SEED} pytest {__file__} -k database",
        server=own_postgres,
    )
    print(text)
    assert fine, text

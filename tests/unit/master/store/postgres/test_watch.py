"""When a master that has lost the database gives the queue up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.store.postgres.ownership.claim import Claim
from master.store.postgres.ownership.lease import LEASE_S
from master.store.postgres.ownership.watch import COMPANY_S, Watch
from queue_manager.wire.masters import MasterStatus

ME, OTHER = "0a", "0b"


def watch_with(*lags: float) -> tuple[Watch, list[str]]:
    """A watch that read others of these ages last, and why it gives up."""
    lost: list[str] = []
    claim = SimpleNamespace(me=SimpleNamespace(instance=ME), lose=lost.append)
    watch = Watch(cast(Claim, claim))
    rows: list[Any] = [(ME, MasterStatus("a", "", True, 0.0, 0.0, "1"))]
    rows += [(OTHER, MasterStatus("b", "", False, 0.0, lag_s, "1")) for lag_s in lags]
    watch._roster, watch._renewed = rows, 100.0
    return watch, lost


def test_a_lease_that_has_not_run_out_is_kept() -> None:
    watch, lost = watch_with(0.5)
    watch.look(100.0 + LEASE_S - 0.1)
    assert lost == []


def test_a_master_that_is_alone_waits_for_the_database() -> None:
    watch, lost = watch_with()
    watch.look(100.0 + 1000.0)
    assert lost == []


@pytest.mark.parametrize("lag_s", [0.5, LEASE_S + 5.0, COMPANY_S - 1.0])
def test_one_that_was_there_a_minute_before_may_be_back_by_now(lag_s: float) -> None:
    """It was cut off, say, came back, and this master lost the database before it read that."""
    watch, lost = watch_with(lag_s)
    watch.look(100.0 + LEASE_S + 0.1)
    assert lost == ["it has not reached the database for 3.1 s, and b stands by"]


def test_one_that_has_been_gone_for_long_does_not_count() -> None:
    watch, lost = watch_with(COMPANY_S + 1.0)
    watch.look(100.0 + LEASE_S + 0.1)
    assert lost == []

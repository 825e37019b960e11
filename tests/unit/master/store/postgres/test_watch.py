"""When a master that has lost the database gives the queue up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.store.postgres.address import parse_address
from master.store.postgres.ownership.claim import Claim
from master.store.postgres.ownership.lease import LEASE_S
from master.store.postgres.ownership.me import Me
from master.store.postgres.ownership.roster import COMPANY_S, Company, Row
from master.store.postgres.ownership.watch import Watch
from queue_manager.wire.masters import MasterStatus

ME, OTHER = "0a", "0b"
MYSELF = Me(parse_address("postgresql://me@db/queue"), "a", "", "1", instance=ME)


def seen(instance: str, name: str, lag_s: float = 0.5) -> Row:
    return instance, MasterStatus(name, "", False, 0.0, lag_s, "1")


def watch_with(*lags: float, company: Company | None = None) -> tuple[Watch, list[str]]:
    """A watch that read others of these ages last, and why it gives up."""
    lost: list[str] = []
    claim = SimpleNamespace(me=MYSELF, lose=lost.append)
    watch = Watch(cast(Claim, claim), None, company or Company(MYSELF))
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
    stands = "stands by" if lag_s < LEASE_S else "may stand by"
    assert lost == [f"it has not reached the database for 3.1 s, and b {stands}"]


def test_one_that_has_left_in_order_may_be_back_by_now() -> None:
    """Its row is gone, it starts again, and this master loses the database before it reads that."""
    company = Company(MYSELF)
    company.note([seen(ME, "a"), seen(OTHER, "b")], 95.0)
    company.note([seen(ME, "a")], 100.0)
    watch, lost = watch_with(company=company)
    watch.look(100.0 + LEASE_S + 0.1)
    assert lost == ["it has not reached the database for 3.1 s, and b may stand by"]


def test_one_that_left_long_ago_and_what_this_one_was_before_do_not_count() -> None:
    company = Company(MYSELF)
    company.note([seen(OTHER, "b"), seen("0c", "a")], 30.0)
    company.note([seen("0c", "a")], 100.0)
    assert company.names == []
    watch, lost = watch_with(company=company)
    watch.look(100.0 + 1000.0)
    assert lost == []


def test_one_that_has_been_gone_for_long_does_not_count() -> None:
    watch, lost = watch_with(COMPANY_S + 1.0)
    watch.look(100.0 + LEASE_S + 0.1)
    assert lost == []

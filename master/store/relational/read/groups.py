"""What groups of a run have of their own, and what its quotas have counted."""

from __future__ import annotations

from collections.abc import Collection

from ....changes import GroupRecord, QuotaCounts
from ..database import Database
from ..tables import OWN_GROUPS, QUOTAS

ALL = 2**62
"""More groups than there are."""


def own_groups(
    db: Database, run: int, groups: Collection[str] | None = None, limit: int = ALL
) -> dict[str, GroupRecord]:
    """As `Store.own_groups`. limit: how many of all groups at most."""
    if groups is None:
        rows = db.rows("own_groups", run=run, look=limit)
    else:  # not as JSON, where a name ends at its first NUL
        rows = db.look_up("own_groups_by_name", [(group,) for group in groups], run=run)
    return {group: OWN_GROUPS.load(own) for group, *own in rows}


def read_quotas(
    db: Database, names: Collection[tuple[int, str]]
) -> dict[tuple[int, str], QuotaCounts]:
    """What these quotas, as (run, name), have counted."""
    counts = dict.fromkeys(names, QuotaCounts())
    for run, name, *row in db.look_up("quotas_by_name", list(names)):
        counts[run, name] = QUOTAS.load(row)
    return counts


def quotas(db: Database, run: int, limit: int) -> dict[str, QuotaCounts]:
    """As `Store.quotas`."""
    rows = db.rows("quotas_of_run", run=run, look=limit)
    return {name: QUOTAS.load(counts) for name, *counts in rows}

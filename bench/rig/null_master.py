"""`python -m bench.rig.null_master serve` is the master with a store that keeps nothing on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from master.cli.main import main
from master.server import service
from master.store.contract import Store

from .null_store import NullStore

opened: Callable[[Path], Store] = NullStore
"""With this line mypy checks that the store has every verb of the contract."""

setattr(service, "SqliteStore", opened)  # noqa: B010 - a re-export, to mypy

if __name__ == "__main__":
    main()

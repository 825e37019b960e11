"""`python -m bench.null_master serve`: the same master with the store left out."""

from __future__ import annotations

from master import service
from master.cli import main

from .null_store import NullStore

setattr(service, "SqliteStore", NullStore)  # noqa: B010 - a re-export, to mypy

if __name__ == "__main__":
    main()

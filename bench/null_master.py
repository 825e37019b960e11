"""`python -m bench.null_master serve`: the same master with the store left out."""

from __future__ import annotations

import master.service
from master.cli import main

from .null_store import NullStore

master.service.SqliteStore = NullStore  # type: ignore[assignment,misc]

if __name__ == "__main__":
    main()

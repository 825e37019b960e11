"""The store in PostgreSQL beside the one in SQLite, and masters that take over."""

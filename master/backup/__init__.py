"""Copies of an embedded store: once, or commit by commit; and how a copy becomes a store again."""

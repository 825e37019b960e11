"""Reads from the store: what waits, what has ended, how runs and blocks stand."""

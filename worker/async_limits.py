"""Limits that the supervisor and an async slot must agree on."""

CANCEL_S = 2.0
"""How long a cancelled coroutine has to end, in seconds; then its slot is killed."""

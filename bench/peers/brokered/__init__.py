"""Peers that keep their tasks in Redis or PostgreSQL: programs for `driver` and their workers."""

"""Runs over the wire: they are started, fed, cancelled, retried and forgotten."""

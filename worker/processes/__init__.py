"""Trees of processes: how they are watched, found and ended."""

"""Where tasks wait: the lanes of a run, and what limits and pauses its groups."""

"""How fast: tasks, messages and results a second, and one task alone."""

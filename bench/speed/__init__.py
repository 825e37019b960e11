"""Benchmarks of speed: tasks, messages and results a second, and one task alone."""

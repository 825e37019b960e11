"""Benchmarks of size: a million tasks, a thousand sessions, and how soon lost tasks start again."""

"""Chaos: plain processes, random faults from a seed, and what must hold after all of them."""

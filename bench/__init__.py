"""How fast it is, as ratios to stock measurements taken in the same run: `python -m bench`."""

"""The runs: each of them, which there are, how they begin and end, and what waits for them."""

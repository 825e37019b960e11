"""The turn of the master's event loop: it stages what came, commits once, and answers."""

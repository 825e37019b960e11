"""The side that connects: a session with the master that reconnects."""

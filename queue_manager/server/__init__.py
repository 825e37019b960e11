"""The serving side of the queue manager: one port, one event loop."""

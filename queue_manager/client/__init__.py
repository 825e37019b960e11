"""The client side: a session with the master that reconnects."""

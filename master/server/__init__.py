"""The service: what it does for each kind of message, and what keeps its state small."""

"""What a command has for a master: one of its own, or the one at QUEUE_HOST."""

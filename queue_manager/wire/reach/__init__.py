"""How a client reaches the active master, of all places where it may be."""

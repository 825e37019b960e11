"""The commands, and how they print what the master answers."""

"""What happened in a chaos, and whether it kept every promise."""

"""What the master tells of itself. It knows no terminal."""

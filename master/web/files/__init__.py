"""Files that jobs write for people: which a run has, and how they are given to a browser."""

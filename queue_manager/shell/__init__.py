"""Commands of a shell as tasks: what `qm shell` and jobs/shell.py share (docs/shell.md)."""

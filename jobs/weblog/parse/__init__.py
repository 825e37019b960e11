"""From lines to columns: libraries read the regular lines, patterns the others."""

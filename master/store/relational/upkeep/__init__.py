"""What goes and what is corrected: old rows, rows of removed runs, times of a wrong clock."""

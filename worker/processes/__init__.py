"""Trees of processes: watching, finding and ending them."""

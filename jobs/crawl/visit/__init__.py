"""One visit: an address is asked for, its answer is looked at, and tasks follow from it."""

"""`qm schedule`: the words that it takes, what it asks of the master, what it prints."""

"""A slot as its parent sees it: the process, its pipe, its output, the leases in it."""

"""A slot from outside: its process, its pipe, its output and its leases."""

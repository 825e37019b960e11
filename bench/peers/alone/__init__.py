"""Peers without a server of others: programs for `driver`, each in its own environment."""

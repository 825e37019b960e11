"""Pickles of standard-library clients: what they may hold, and what loading them would take."""

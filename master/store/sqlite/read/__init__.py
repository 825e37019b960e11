"""What the store is asked: what waits, what has ended, how runs and blocks stand."""

"""Masters that share a database: one is active, the others stand by.

Owns what a master does before it is the active one, while it watches that it still is, and when it
is not any more. Knows nothing of tasks.
"""

"""The slot: the process that runs the user's `work()`."""

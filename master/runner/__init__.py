"""The runner of one run, a child process that runs the user's `tasks()` and `collect()`."""

"""The worker: a supervisor that talks to the master, and slots that run the tasks."""

"""The code of jobs on a worker: versions, code from the master, jobs that can't run here."""

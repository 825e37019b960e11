"""The code of jobs on a worker: its versions, code from the master, and jobs that can't run
here."""

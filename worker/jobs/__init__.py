"""The code of jobs on a worker: its versions, what came from the master, what cannot run here."""

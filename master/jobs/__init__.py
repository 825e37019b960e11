"""The code of jobs on the master: its versions, a look at a job, its way to the workers."""

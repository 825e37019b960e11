"""The contract with a job, and how a job is found, checked and given its arguments."""

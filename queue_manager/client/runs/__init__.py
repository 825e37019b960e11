"""The tasks and outcomes of a run on their way: inputs out, outcomes in, and their order."""

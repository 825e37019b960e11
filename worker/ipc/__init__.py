"""What a supervisor and its slots share: the pipe, the shared row, the records of outcomes."""

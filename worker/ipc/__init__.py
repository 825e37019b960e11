"""What a supervisor and its slots share: the pipe, the shared page, the records of outcomes."""

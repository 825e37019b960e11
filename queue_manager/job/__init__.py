"""What a job's author writes, and how it is found, checked and given its arguments."""

"""`qm shell`: a command of the shell for each line of an input, in the workers."""

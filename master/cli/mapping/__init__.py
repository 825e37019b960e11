"""`qm map`: a function of a file, called with each input of other files, in the workers."""

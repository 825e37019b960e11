"""Jobs that run at times: which slots there are, which of them run, who says so."""

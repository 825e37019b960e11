"""The pages in a browser: a process of its own, and a client of the master on the wire."""

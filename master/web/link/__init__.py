"""The way to the master: one session that comes back, and answers that many pages share."""

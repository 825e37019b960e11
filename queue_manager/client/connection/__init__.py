"""The way to the master: a connection that comes back, a session that asks again, the address."""

"""The supervisor: it has the session with the master and runs no code of the user's."""

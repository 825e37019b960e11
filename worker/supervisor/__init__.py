"""The supervisor, which has the session with the master and runs no code of the user."""

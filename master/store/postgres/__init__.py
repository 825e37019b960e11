"""The store in PostgreSQL, for masters that stand by for each other.

Owns all that this project tells that server. psycopg is an extra (`postgres`): nothing outside of
this room imports it, and nothing imports this room unless MASTER_STORE names such a server.
"""

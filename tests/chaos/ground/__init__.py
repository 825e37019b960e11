"""Where a chaos takes place: processes, their connections, and strangers on the port."""

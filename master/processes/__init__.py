"""The child processes of the service: the service starts them, and keeps runners alive."""

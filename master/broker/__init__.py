"""The state machine of tasks and leases. No sockets, no SQL, no threads, no clock."""

from .broker import Broker

__all__ = ["Broker"]

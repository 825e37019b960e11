"""Who holds which tasks: sessions, their leases, and what becomes of both."""

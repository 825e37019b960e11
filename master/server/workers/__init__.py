"""Our workers' sessions: hello, leases, outcomes, and the silence after which one is given up."""

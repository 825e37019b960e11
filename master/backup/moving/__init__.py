"""A store at rest is copied into another one, also of the other engine: `qm migrate-store`."""

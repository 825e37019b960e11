"""Who owns the schema: of all masters on it one is active, the others stand by."""

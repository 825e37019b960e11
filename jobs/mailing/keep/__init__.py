"""What is kept on the shared disk: the ledger, lists, notes, and the report of them."""

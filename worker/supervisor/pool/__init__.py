"""The slots of a worker: which one gets a lease, and which task is charged when one dies."""

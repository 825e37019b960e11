"""All slots together: which one gets a lease, and which task is charged when one dies."""

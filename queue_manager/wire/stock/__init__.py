"""Values of standard-library clients: what a pickle may hold, and what loading it would take."""

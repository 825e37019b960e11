"""The broker in small worlds: a simulated clock, workers and faults, all from one seed."""

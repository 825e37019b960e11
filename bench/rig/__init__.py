"""What benchmarks stand on: processes, containers, sessions, runs, and rivals of ours."""

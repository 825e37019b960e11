"""The parts that benchmarks share: processes, containers, sessions, runs, and the tutorial."""

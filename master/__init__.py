"""The master: owns the state of every task. Broker, store, server's turn, runner."""

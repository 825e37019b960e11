"""Connections that arrive: who is let in, and what a standby tells them all."""

"""The way out: one try of one message, over connections that are kept."""

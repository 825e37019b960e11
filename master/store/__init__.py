"""Durable state behind a small set of verbs: the contract, and the engines that keep it."""

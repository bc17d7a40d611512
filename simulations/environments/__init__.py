"""Worlds whose true probabilities are known, so that what a policy misses is known exactly."""

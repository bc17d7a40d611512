"""Offline work: data sets, worlds with known probabilities, replay, estimates and their intervals."""

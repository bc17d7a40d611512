"""Rounds as columns of numbers, and sums of them that are exact."""

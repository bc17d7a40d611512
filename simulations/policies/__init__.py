"""Policies to evaluate, and how they are named."""

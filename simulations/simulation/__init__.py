"""Policies in worlds of which the value is known, through the code that runs in production."""

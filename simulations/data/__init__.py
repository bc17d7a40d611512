"""Data that stand in the project, and what makes them."""

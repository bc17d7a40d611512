"""Many policies side by side by one log."""

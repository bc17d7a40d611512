"""Against a running service: its client, and who sends it visitors."""

"""The console script: wiring only."""

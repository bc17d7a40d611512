"""Estimators of a policy's value, one module each; `contract` says what they are."""

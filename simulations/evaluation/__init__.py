"""A log and a policy: what it would have earned, how sure that is, whether it may be said."""

"""Every figure that the project quotes, each beside its baseline from the same run."""

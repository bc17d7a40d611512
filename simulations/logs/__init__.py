"""Logs in and out: one module for each format, all read into `rows.Logged`."""

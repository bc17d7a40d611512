"""What an evaluation, a sweep or a simulation found, for a terminal, a page and a notebook."""

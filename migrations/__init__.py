"""Alembic migrations: the one source of the schema."""

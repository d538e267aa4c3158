"""The schema's versions: upgrades and downgrades, and the check whether Parley can use a database.

The migrations themselves are in `alembic/versions`. Tables are declared in `storage.postgres.tables`.
"""

__all__ = [
    "compatibility",
    "schema_migration",
]

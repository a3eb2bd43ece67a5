"""Shares jobs, claims, the apply lock and the request limit between machines, in PostgreSQL.

Only this package imports psycopg. It is imported only if a ledger is configured.
"""

from contentops.errors import StateError

try:
    import psycopg as _driver
except ModuleNotFoundError:
    raise StateError(
        "the ledger needs `psycopg`, which is not installed",
        code="ledger-driver",
        hint="install `psycopg[binary]` into the environment of contentops",
    ) from None
else:
    del _driver

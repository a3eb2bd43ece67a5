"""A ledger for harnesses: a real database, whose rows can be kept as they stand and put back."""

from __future__ import annotations

from typing import Any

import psycopg

_TABLES = ("limiter", "job", "claim")
Rows = dict[str, list[tuple[str]]]


class HarnessLedger:
    """The database at `url`, looked at from outside of the sessions of a harness."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)

    def __deepcopy__(self, _: Any) -> HarnessLedger:
        return self

    def rows(self) -> Rows:
        """All that is known of jobs and the account; nothing where there are no tables yet."""
        (there,) = self._connection.execute("SELECT to_regclass('contentops.job') IS NOT NULL").fetchone() or (False,)
        if not there:
            return {}
        return {
            table: self._connection.execute(f"SELECT to_jsonb(t)::text FROM contentops.{table} t ORDER BY 1").fetchall()
            for table in _TABLES
        }

    def put_back(self, rows: Rows) -> None:
        """Let it know exactly what it knew then."""
        (there,) = self._connection.execute("SELECT to_regclass('contentops.job') IS NOT NULL").fetchone() or (False,)
        if not there:
            return
        with self._connection.transaction():
            self._connection.execute(f"TRUNCATE {', '.join(f'contentops.{table}' for table in _TABLES)}")
            for table, lines in rows.items():
                self._connection.execute(
                    f"INSERT INTO contentops.{table}"
                    f" SELECT (jsonb_populate_record(NULL::contentops.{table}, line::jsonb)).* FROM unnest(%s::text[]) line",
                    ([line for (line,) in lines],),
                )

    def close(self) -> None:
        """Let go."""
        self._connection.close()

"""API keys over the store: only their fingerprints are kept, so a key is seen once and never again."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.server import LocalError
from contentops.server.clock import Clock
from contentops.server.submission import CREDITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from contentops.server.store import Store

PLANS = {"starter": False, "professional": True, "enterprise": True}
"""The plans, and whether they include access to the API."""

_PREFIX = "wz_local_"
_SELECT = "SELECT id, plan, created_at, revoked_at, credits, modes FROM keys"


class KeyRefusedError(LocalError):
    """The key cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. Times in seconds; `revoked_at` None while it works.

    `credits` is its allowance, None for no limit. `modes` are those it may ask for, empty for all.
    """

    id: str
    plan: str
    created_at: float
    revoked_at: float | None
    credits: int | None = None
    modes: tuple[str, ...] = ()


class KeyRing:
    """The keys of one store. With `required`, requests need one even before the first was made."""

    def __init__(self, store: Store, *, required: bool = False, clock: Clock | None = None) -> None:
        self._store = store
        self._required = required
        self._clock = clock or Clock()

    def create_key(self, plan: str, *, allowance: int | None = None, modes: Sequence[str] = ()) -> str:
        """A new key: the only time its text is seen. Raises KeyRefusedError for a plan that has no API access."""
        _check(plan, modes)
        if not PLANS[plan]:
            message = f"the plan `{plan}` does not include API access; use `professional` or `enterprise`"
            raise KeyRefusedError(message)
        key = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(key)
        with self._store.write():
            self._store.run(
                "INSERT INTO keys (id, digest, plan, created_at, credits, modes) VALUES (?, ?, ?, ?, ?, ?)",
                (f"key_{digest[:12]}", digest, plan, self._clock.now(), allowance, _written(modes)),
            )
        return key

    def issued(self) -> list[Key]:
        """Every key ever made, oldest first."""
        return [_key(row) for row in self._store.rows(f"{_SELECT} ORDER BY created_at, rowid")]

    def revoke(self, key_id: str) -> bool:
        """Stop a key from working; False if no working key has that id."""
        with self._store.write():
            done = self._store.run(
                "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (self._clock.now(), key_id)
            )
        return done == 1

    def change(self, key: Key) -> None:
        """Give the key of that id the plan, credits and modes of `key`; a plan without API access closes it.

        Raises KeyRefusedError for an unknown plan, mode or key.
        """
        _check(key.plan, key.modes)
        with self._store.write():
            done = self._store.run(
                "UPDATE keys SET plan = ?, credits = ?, modes = ? WHERE id = ?",
                (key.plan, key.credits, _written(key.modes), key.id),
            )
        if not done:
            message = f"no key has the id `{key.id}`; `contentops serve keys list` shows them"
            raise KeyRefusedError(message)

    def check(self, key: str) -> Key | None:
        """The working key with that text, or None. Compares fingerprints, so timing tells nothing of the text."""
        row = self._store.row(f"{_SELECT} WHERE digest = ? AND revoked_at IS NULL", (_digest(key),))
        return None if row is None else _key(row)

    @property
    def required(self) -> bool:
        """Whether a request needs a key. Revoking the last one does not open the server again."""
        return self._required or self._store.row("SELECT 1 FROM keys LIMIT 1") is not None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: sqlite3.Row) -> Key:
    return Key(**{**dict(row), "modes": tuple(row["modes"].split())})


def _written(modes: Sequence[str]) -> str:
    return " ".join(mode for mode in CREDITS if mode in modes)


def _check(plan: str, modes: Sequence[str]) -> None:
    for what, known, said in (("plan", PLANS, [plan]), ("mode", CREDITS, modes)):
        if unknown := [word for word in said if word not in known]:
            message = f"unknown {what} `{unknown[0]}`; known: {', '.join(f'`{word}`' for word in known)}"
            raise KeyRefusedError(message)

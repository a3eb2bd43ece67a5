"""API keys over the store: only their fingerprints are kept, so a key is seen once and never again."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.local import LocalError
from contentops.local.clock import Clock

if TYPE_CHECKING:
    from contentops.local.store import Store

PLANS = {"starter": False, "professional": True, "enterprise": True}
"""The plans, and whether they include access to the API."""

_PREFIX = "wz_local_"


class KeyRefusedError(LocalError):
    """The key can not be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key without its secret. Times in seconds; `revoked_at` None while it works."""

    id: str
    plan: str
    created_at: float
    revoked_at: float | None


class KeyRing:
    """The keys of one store. With `required`, requests need one even before the first was made."""

    def __init__(self, store: Store, *, required: bool = False, clock: Clock | None = None) -> None:
        self._store = store
        self._required = required
        self._clock = clock or Clock()

    def create_key(self, plan: str) -> str:
        """A new key: the only time its text is seen. Raises KeyRefusedError for a plan that has no API access."""
        if plan not in PLANS:
            message = f"unknown plan `{plan}`; known: {', '.join(f'`{known}`' for known in PLANS)}"
            raise KeyRefusedError(message)
        if not PLANS[plan]:
            message = f"the plan `{plan}` does not include API access; use `professional` or `enterprise`"
            raise KeyRefusedError(message)
        key = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(key)
        with self._store.write():
            self._store.run(
                "INSERT INTO keys (id, digest, plan, created_at) VALUES (?, ?, ?, ?)",
                (f"key_{digest[:12]}", digest, plan, self._clock.now()),
            )
        return key

    def issued(self) -> list[Key]:
        """Every key ever made, oldest first."""
        rows = self._store.rows("SELECT id, plan, created_at, revoked_at FROM keys ORDER BY created_at, rowid")
        return [Key(**dict(row)) for row in rows]

    def revoke(self, key_id: str) -> bool:
        """Stop a key from working; False if no working key has that id."""
        with self._store.write():
            done = self._store.run(
                "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (self._clock.now(), key_id)
            )
        return done == 1

    def check(self, key: str) -> Key | None:
        """The working key with that text, or None. Compares fingerprints, so timing tells nothing of the text."""
        row = self._store.row(
            "SELECT id, plan, created_at, revoked_at FROM keys WHERE digest = ? AND revoked_at IS NULL", (_digest(key),)
        )
        return None if row is None else Key(**dict(row))

    @property
    def required(self) -> bool:
        """Whether a request needs a key. Revoking the last one does not open the server again."""
        return self._required or self._store.row("SELECT 1 FROM keys LIMIT 1") is not None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

"""API keys, their credits, and the limits of requests.

An account is a key, or everyone together where the server needs no keys. Only fingerprints of keys are stored, so a key
is shown once. A completed job is charged once, a failed one never; the price of a job is reserved when it is accepted,
so that an allowance is never overdrawn.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from starlette.exceptions import HTTPException

from contentops.pricing import CREDITS
from contentops.server import EmbeddedServerError
from contentops.server.database import EVERY_ROW
from contentops.server.replies import BodyRefused, FieldProblem, Surface
from contentops.server.store import Clock, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from contentops.server.database import Replicas, Store, StoredRow

PLANS = {"starter": False, "professional": True, "enterprise": True}
"""The plans, and whether they include access to the API."""

WINDOW = 60.0
"""Seconds a request counts."""
PER_MINUTE = 10
"""The default of requests per minute where keys are needed, as the service documents it."""

_SELECT = "SELECT id, plan, created_at, revoked_at, credits, modes FROM keys"


class KeyRefusedError(EmbeddedServerError):
    """The key cannot be made or changed; the message says why and what to do."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its secret. Times in seconds; `revoked_at` is None while it works.

    `credits` is its allowance, None for no limit. `modes` are the allowed ones, empty for all.
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
        """Create a key; returns its text, which is not stored. Raises KeyRefusedError."""
        _check(plan, modes)
        if not PLANS[plan]:
            message = f"the plan `{plan}` has no API access; use `professional` or `enterprise`"
            raise KeyRefusedError(message)
        key = f"wz_local_{secrets.token_urlsafe(32)}"
        digest = _digest(key)
        with self._store.write():
            self._store.run(
                "INSERT INTO keys (id, digest, plan, created_at, credits, modes) VALUES (?, ?, ?, ?, ?, ?)",
                (f"key_{digest[:12]}", digest, plan, self._clock.now(), allowance, _joined(modes)),
            )
        return key

    def issued(self) -> list[ApiKey]:
        """Every key ever made, oldest first."""
        return [_key(row) for row in self._store.rows(f"{_SELECT} ORDER BY created_at, id")]

    def revoke(self, key_id: str) -> bool:
        """Stop a key from working; False if no working key has that id."""
        with self._store.write():
            done = self._store.run(
                "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (self._clock.now(), key_id)
            )
        return done == 1

    def change(self, key: ApiKey) -> None:
        """Give the key of that id the plan, credits and modes of `key`; a plan without API access closes it.

        Raises KeyRefusedError for an unknown plan, mode or key.
        """
        _check(key.plan, key.modes)
        with self._store.write():
            done = self._store.run(
                "UPDATE keys SET plan = ?, credits = ?, modes = ? WHERE id = ?",
                (key.plan, key.credits, _joined(key.modes), key.id),
            )
        if not done:
            raise KeyRefusedError(f"no key has the id `{key.id}`; `contentops serve keys list` shows them")

    def check(self, key: str) -> ApiKey | None:
        """The working key with that text, or None. Compares fingerprints, so that timing reveals nothing."""
        row = self._store.row(f"{_SELECT} WHERE digest = ? AND revoked_at IS NULL", (_digest(key),))
        return None if row is None else _key(row)

    @property
    def required(self) -> bool:
        """Whether a request needs a key. Revoking the last one does not open the server again."""
        return self._required or self._store.row("SELECT 1 FROM keys LIMIT 1") is not None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: StoredRow) -> ApiKey:
    return ApiKey(**{**dict(row), "modes": tuple(row["modes"].split())})


def _joined(modes: Sequence[str]) -> str:
    return " ".join(mode for mode in CREDITS if mode in modes)


def _check(plan: str, modes: Sequence[str]) -> None:
    for word, valid, names in (("plan", PLANS, [plan]), ("mode", CREDITS, modes)):
        if unknown := [name for name in names if name not in valid]:
            message = f"unknown {word} `{unknown[0]}`; known: {', '.join(f'`{name}`' for name in valid)}"
            raise KeyRefusedError(message)


# --- credits -----------------------------------------------------------------------------------------------


class CreditAccount(Struct, frozen=True):
    """The credits of a key. Without a limit `allowance` and `balance` are None."""

    allowance: int | None
    used: int
    reserved: int

    @property
    def balance(self) -> int | None:
        """The credits for new jobs; never below 0, even if the allowance was lowered."""
        return None if self.allowance is None else max(0, self.allowance - self.used - self.reserved)


def account(store: Store, key: ApiKey) -> CreditAccount:
    """The credits of `key` now."""
    used = sum(store.tallied(key.id, "credits").values())
    reserved = store.number("SELECT sum(credits) FROM jobs WHERE key_id = ? AND finished_at IS NULL", (key.id,))
    return CreditAccount(key.credits, used, reserved)


def usage(store: Store, key: ApiKey | None = None) -> dict[str, Any]:
    """Credits used and generations, in all and by mode: of `key`, with its balance, or of everyone without keys."""
    key_id = "" if key is None else key.id
    generations, credits_by_mode = store.tallied(key_id, "generations"), store.tallied(key_id, "credits")
    numbers: dict[str, Any] = {
        "used": sum(credits_by_mode.values()),
        "generations": sum(generations.values()),
        "by_mode": {
            mode: {"generations": number, "credits": credits_by_mode[mode]} for mode, number in generations.items()
        },
    }
    if key is None:
        return numbers
    credit = account(store, key)
    balance = {"allowance": credit.allowance, "reserved": credit.reserved, "balance": credit.balance}
    return {"plan": key.plan, **balance, **numbers}


def history(store: Store, key_id: str = "", *, skip: int = 0, limit: int = EVERY_ROW) -> list[dict[str, Any]]:
    """The charges of an account, newest first: at most `limit` after the first `skip`."""
    rows = store.rows(
        "SELECT job_id AS request_id, mode, credits, charged_at AS timestamp FROM charges WHERE key_id = ?"
        " ORDER BY number DESC LIMIT ? OFFSET ?",
        (key_id, limit, skip),
    )
    return [{**dict(row), "timestamp": iso(row["timestamp"])} for row in rows]


# --- requests ----------------------------------------------------------------------------------------------


class AccountLimits(Struct, frozen=True, kw_only=True):
    """The limits of an account.

    `requests_per_minute`: the most requests in any 60 s; 0 sets no limit, None sets `PER_MINUTE` where keys are needed
    and no limit elsewhere. `free_polls`: status requests do not count. `max_active`: the most generations at a time; 0
    sets no limit.
    """

    requests_per_minute: int | None = None
    free_polls: bool = False
    max_active: int = 0


class RequestWindow:
    """Counts the requests of each account in the last minute, in a shared store or else in this process."""

    def __init__(self, now: Callable[[], float], replicas: Replicas | None = None) -> None:
        self._replicas = replicas
        self._now = now
        self._taken: dict[str, deque[float]] = {}

    def take(self, account: str, most: int) -> None:
        """Count one request; a refused one does not count. Raises HTTPException (429) after `most` in a minute."""
        if self._replicas is None:
            wait = self._count(account, most)
        else:
            wait = self._replicas.count_request(account, most, WINDOW)
        if wait:
            raise _too_many(f"Rate limit exceeded: {most} per 1 minute", max(1, math.ceil(wait)))

    def _count(self, account: str, most: int) -> float:
        now = self._now()
        taken = self._taken.setdefault(account, deque())
        # A wall clock may be set back: requests in the future do not count.
        while taken and not 0 <= now - taken[0] < WINDOW:
            taken.popleft()
        if len(taken) >= most:
            # After the limit was lowered, more than one of them has to expire.
            return taken[len(taken) - most] + WINDOW - now
        taken.append(now)
        return 0.0


def _too_many(message: str, seconds: int) -> HTTPException:
    return HTTPException(429, message, {"Retry-After": str(seconds)})


class AdmittedRequest(Struct, frozen=True):
    """An accepted request. `owner` is its `X-User-ID` or empty, `key` its key or None.

    It sees jobs and contents of its key that belong to its user or to none.
    """

    request: Request
    surface: Surface
    owner: str
    key: ApiKey | None = None

    @property
    def id(self) -> str:
        """The id or slug in the path."""
        return str(self.request.path_params["id"])

    @property
    def key_id(self) -> str:
        """The id of its key, or empty: the account that it uses."""
        return "" if self.key is None else self.key.id

    def may_see(self, owner: str) -> bool:
        """Whether it sees what belongs to `owner`: its own user, no user, or anyone if it names no user."""
        return not owner or not self.owner or owner == self.owner

    def refuse_mode(self, mode: str) -> None:
        """Raises HTTPException (403) if its key is not for generations of that mode."""
        if self.key is not None and self.key.modes and mode not in self.key.modes:
            raise HTTPException(403, f"Your plan does not include the {mode} pipeline")


class AccessControl:
    """Accepts requests. With `keys` None no request needs a key."""

    def __init__(self, store: Store, keys: KeyRing | None, limits: AccountLimits, now: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._limits = limits
        self._window = RequestWindow(now, store.replicas)

    def admit(self, request: Request, surface: Surface, *, poll: bool) -> AdmittedRequest:
        """The request with its key checked. `poll`: it only asks for a job's status.

        Raises HTTPException: 400 (422 under `/api`) for an unusable user id, 401 for the key, 403 for its plan, 429
        for the limit.
        """
        owner = request.headers.get("x-user-id", "")
        if owner and not (len(owner) <= 200 and owner.isprintable()):
            wrong = "`X-User-ID` must be 1 to 200 printable characters"
            raise BodyRefused(FieldProblem("X-User-ID", wrong, part="header"))
        key = None if self._keys is None else self._key(request, self._keys)
        admitted = AdmittedRequest(request, surface, owner, key)
        most = self._limits.requests_per_minute
        if most is None:
            most = 0 if key is None else PER_MINUTE
        if most and not (poll and self._limits.free_polls):
            self._window.take(admitted.key_id, most)
        return admitted

    def _key(self, request: Request, keys: KeyRing) -> ApiKey | None:
        """The key of a request, or None where none is needed."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = keys.check(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            if not keys.required:
                return None
            raise HTTPException(401, "Invalid or missing API key", {"WWW-Authenticate": "Bearer"})
        if not PLANS.get(key.plan):
            raise HTTPException(403, f"The plan `{key.plan}` does not include API access")
        return key

    def refuse_job(self, admitted: AdmittedRequest, price: int) -> None:
        """Raises HTTPException for too many jobs at once (429), or for too few credits (402)."""
        most = self._limits.max_active
        under_way = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND key_id = ?"
        if 0 < most <= self._store.number(under_way, (admitted.key_id,)):
            raise _too_many(f"Too many active generations: {most} at a time", 5)
        key = admitted.key
        balance = account(self._store, key).balance if key is not None and key.credits is not None else None
        if balance is not None and balance < price:
            raise HTTPException(402, f"Insufficient credits: {price} required, {balance} available")

"""Who may come in: keys, plans and the request limit, before an endpoint sees a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.server.keys import PLANS
from contentops.server.limits import Limits, Window
from contentops.server.refusal import Problem, Refusal, Surface

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from contentops.server.keys import Key, KeyRing


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in. `owner` is its `X-User-ID` or empty, `key` its key, where keys are asked for."""

    request: Request
    where: Surface
    owner: str
    key: Key | None = None

    @property
    def id(self) -> str:
        """The id or slug in the path."""
        return str(self.request.path_params["id"])

    @property
    def key_id(self) -> str:
        """The id of its key, or empty: the account that is charged."""
        return "" if self.key is None else self.key.id


class Gate:
    """Lets requests in. `keys` None asks nobody for a key."""

    def __init__(self, keys: KeyRing | None, limits: Limits, now: Callable[[], float]) -> None:
        self.limits = limits
        self._keys = keys
        self._window = Window(now)

    def admit(self, request: Request, where: Surface, *, poll: bool = False) -> Call:
        """The request with its key checked. `poll` says that it only asks for a job's status.

        Raises Refusal: 400 (422 under `/api`) for an unusable user id, 401 for the key, 403 for its plan, 429 for
        the limit.
        """
        owner = request.headers.get("x-user-id", "")
        if owner and not (len(owner) <= 200 and owner.isprintable()):
            raise Refusal.of([Problem("X-User-ID", "`X-User-ID` must be 1 to 200 printable characters")], where)
        keyed = self._keys is not None and self._keys.required
        call = Call(request, where, owner, self._key(request) if keyed else None)
        most = self.limits.per_minute(keyed=keyed)
        if most and not (poll and self.limits.free_polls):
            self._window.take(call.key_id, most)
        return call

    def _key(self, request: Request) -> Key:
        assert self._keys is not None  # asked for only where there are keys
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = self._keys.check(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Refusal(401, "Invalid or missing API key")
        if not PLANS[key.plan]:
            raise Refusal(403, f"The plan `{key.plan}` does not include API access")
        return key


def refuse_mode(call: Call, mode: str) -> None:
    """Raises Refusal with 403 if the call's key is not for generations of that mode."""
    if call.key is not None and call.key.modes and mode not in call.key.modes:
        raise Refusal(403, f"Your plan does not include the {mode} pipeline")

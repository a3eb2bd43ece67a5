"""How the embedded server says no: one exception, and its two shapes on the wire."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping


class Surface(enum.Enum):
    """Which of the two families of shapes a request speaks: the documented `/v1` or the `/api` of server and SDK."""

    V1 = "/v1"
    API = "/api"


def surface(path: str) -> Surface:
    """The surface a path belongs to; `/v1` for every path outside both."""
    return Surface.API if path == "/api" or path.startswith("/api/") else Surface.V1


_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a body: the field, what is wrong, and a type word such as `missing` or `string_type`."""

    field: str
    message: str
    type: str = "value_error"


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        problems: tuple[Problem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.problems = problems
        self.headers = {**({"WWW-Authenticate": "Bearer"} if status == 401 else {}), **(headers or {})}

    @classmethod
    def of(cls, problems: list[Problem], where: Surface) -> Refusal:
        """Everything wrong with a body in one reply: 422 with a list under `/api`, 400 with a sentence under `/v1`.

        A value that is none of the known choices is 400 in both.
        """
        message = "; ".join(problem.message for problem in problems)
        if where is Surface.V1 or all(problem.type == "enum" for problem in problems):
            return cls(400, message)
        return cls(422, message, problems=tuple(problems))

    def body(self, where: Surface) -> dict[str, Any]:
        """The reply's JSON in the shape of `where`."""
        if where is Surface.V1:
            return {"error": {"code": _CODES.get(self.status, "error"), "message": self.message}}
        if self.status == 429:
            # The service's limiter answers with a text of its own under this name.
            return {"error": self.message}
        if self.problems:
            return {
                "detail": [
                    {"type": problem.type, "loc": ["body", *filter(None, [problem.field])], "msg": problem.message}
                    for problem in self.problems
                ]
            }
        return {"detail": self.message}

    def response(self, where: Surface) -> JSONResponse:
        """The reply as a whole."""
        return JSONResponse(self.body(where), status_code=self.status, headers=self.headers)

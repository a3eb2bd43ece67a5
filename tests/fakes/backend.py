"""The vendor's public backend, as its code of December 2025 behaves: `/api` alone, envelopes, and one name for inputs."""

from dataclasses import replace
from typing import Any

from tests.fakes.api import FakeApi, Seen


class PublicBackend(FakeApi):
    """Answers below `/api`, lists inside `{success, data}`, and reads the inputs of a submit from `user_input` alone.

    What it does not find there it makes up, and charges for: the topic is `Unknown Topic`.
    """

    def __init__(self, **habits: Any) -> None:
        super().__init__(**{"envelope": True, "failed": "error", "running": "running", **habits})

    def _answer(self, seen: Seen, argument: str) -> tuple[int, Any, dict[str, str]]:
        if not seen.path.startswith("/api/"):
            return 404, {"detail": "Not Found"}, {}
        return super()._answer(seen, argument)

    def _list(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        status, reply, headers = super()._list(seen)
        for key in ("templates", "style_profiles"):
            if key in reply:
                items = reply[key]
                return 200, {"success": True, "data": {"items": items, "count": len(items), "page": 1}}, headers
        return status, reply, headers

    def _submit(self, seen: Seen) -> tuple[int, Any, dict[str, str]]:
        body = {key: value for key, value in seen.body.items() if key not in {"inputs", "dynamic_parameters"}}
        if not (body.get("template_id") or body.get("template")):
            return 500, {"detail": "Internal server error: Template 'None' not found."}, {}
        inputs = {"topic": "Unknown Topic", **body.get("user_input", {})}
        return super()._submit(replace(seen, body={**body, "user_input": inputs}))

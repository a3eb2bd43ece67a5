"""A small GitLab on loopback: merge requests of one project, and who approved them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.github import FakeGitHub, Reply


class FakeGitLab(FakeGitHub):
    """Project 42; `faults`, `asked` and `tokens` are as those of `FakeGitHub`."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []
        self.approved: dict[int, list[dict[str, Any]]] = {}
        self.versions: dict[int, list[dict[str, Any]]] = {}
        self.bots: set[int] = set()

    def env(self, **more: str) -> dict[str, str]:
        """A job's environment."""
        job = {"GITLAB_CI": "true", "CI_PROJECT_ID": "42", "CI_PROJECT_URL": "https://gitlab.example/acme/blog"}
        return {**job, "CI_API_V4_URL": self.api, "GITLAB_TOKEN": "glpat-planted~Token", **more}

    def merged(self, number: int, head: str, base: str, **made: str | None) -> None:
        """A merged merge request, pushed at 11:00; `made` says which commits its merge made."""
        request = {"iid": number, "sha": head, "state": "merged", "target_branch": "main"}
        self.requests.append(request | {"author": {"username": "author"}, "merge_commit_sha": None, **made})
        version = {"head_commit_sha": head, "base_commit_sha": base, "created_at": "2026-03-01T11:00:00.000Z"}
        self.versions[number] = [version]

    def approve(
        self, number: int, login: str, *, user: int = 1, at: str | None = "2026-03-01T12:00:00.000+01:00"
    ) -> None:
        """An approval; by default at the very second of the push."""
        entry = {"user": {"username": login, "id": user}} | ({"approved_at": at} if at else {})
        self.approved.setdefault(number, []).append(entry)

    def answer(self, method: str, target: str, _body: Any) -> Reply:
        """What it says."""
        parts = urlsplit(target)
        for at, (pattern, fault) in enumerate(self.faults):
            if re.search(pattern, f"{method} {target}"):
                del self.faults[at]
                return fault() or (404, {"message": "404"}, {})
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/projects/42/")
        if user := re.fullmatch(r"/users/(\d+)", path):
            return 200, {"id": int(user[1]), "bot": int(user[1]) in self.bots}, {}
        if re.fullmatch(r"repository/commits/\w+/merge_requests", path):
            return 200, self._page(self.requests, query), {}
        match = re.fullmatch(r"merge_requests/(\d+)/(approvals|versions)", path)
        if match is None:
            return 404, {"message": "404"}, {}
        if match[2] == "versions":
            return 200, self._page(self.versions[int(match[1])], query), {}
        return 200, {"approved_by": self.approved.get(int(match[1]), [])}, {}

"""A small GitHub on loopback: comments, pull requests and runs of one repository, and what it was asked."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "ghs_9f3A+b/7Q=planted~Token"
Reply = tuple[int, Any, dict[str, str]]


class FakeGitHub:
    """Use it as a context manager; `faults` are answers given instead, first come first served."""

    def __init__(self, *, login: str = "") -> None:
        self.login = login
        """Whose token it is; empty: a workflow's, which may not ask."""
        self.comments: list[dict[str, Any]] = []
        self._made = 0
        self.pulls: list[dict[str, Any]] = []
        self.reviews: dict[int, list[dict[str, Any]]] = {}
        self.files: dict[int, list[dict[str, Any]]] = {}
        self.bases: dict[str, str] = {}
        """Where a branch began, by `BASE...HEAD`."""
        self.may: dict[str, str] = {}
        """What people may do; those who are not named may write."""
        self.runs: list[dict[str, Any]] = []
        self.artifacts: dict[int, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.faults: list[tuple[str, Callable[[], Reply | None]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def api(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def env(self, **more: str) -> dict[str, str]:
        """A runner's environment."""
        return {"GITHUB_API_URL": self.api, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "acme/blog", **more}

    def pull(self, number: int, sha: str, *, label: str = "acme:topic", base: str = "main") -> None:
        """An open pull request."""
        self.pulls.append(
            {
                "number": number,
                "head": {"sha": sha, "label": label},
                "base": {"ref": base},
                "html_url": f"https://gh/{number}",
            }
        )

    def merge(self, number: int, commit: str) -> None:
        """That pull request is merged; `commit` is what its merge made."""
        pull = next(pull for pull in self.pulls if pull["number"] == number)
        pull |= {"merged_at": "2026-03-01T12:00:00Z", "merge_commit_sha": commit}

    def review(
        self,
        number: int,
        login: str,
        state: str = "APPROVED",
        *,
        commit: str = "",
        minute: int = 0,
        kind: str = "User",
        body: str = "",
    ) -> dict[str, Any]:
        """A review of a pull request, by default of its last commit."""
        head = next(pull["head"]["sha"] for pull in self.pulls if pull["number"] == number)
        made = {"state": state, "user": {"login": login, "type": kind} if login else None}
        made |= {"commit_id": commit or head, "submitted_at": f"2026-03-01T11:{minute:02}:00Z", "body": body}
        self.reviews.setdefault(number, []).append(made)
        return made

    def run(self, number: int, sha: str, *artifacts: str, event: str = "pull_request", expired: bool = False) -> None:
        """A run of a workflow on a commit, with what it uploaded."""
        self.runs.insert(0, {"id": number, "head_sha": sha, "event": event})
        self.artifacts[number] = [{"name": name, "expired": expired} for name in artifacts]

    def show(self, run: int, sha: str, checksum: str = f"sha256:{'c' * 64}", name: str = "blog") -> dict[str, Any]:
        """The comment that shows the plan of a run."""
        shown = f"<!-- contentops:shown run={run} commit={sha} plan={checksum} -->"
        return self.comment(f"<!-- contentops:plan:{name}: -->\n{shown}\n### contentops plan")

    def comment(self, body: str, login: str = "github-actions[bot]") -> dict[str, Any]:
        """A comment that already exists."""
        self._made += 1
        made = {"id": self._made, "body": body, "user": {"login": login}, "html_url": "https://gh/c"}
        self.comments.append(made)
        return made

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                fake.tokens.add(self.headers.get("Authorization", ""))
                fake.asked.append((self.command, self.path))
                status, answer, headers = fake.answer(self.command, self.path, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _any  # noqa: N815 - the names the server calls

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        return Handler

    def answer(self, method: str, target: str, body: Any) -> Reply:
        """What it says."""
        parts = urlsplit(target)
        for at, (pattern, fault) in enumerate(self.faults):
            if re.search(pattern, f"{method} {target}"):
                del self.faults[at]
                failure = fault()
                if failure is not None:
                    return failure
                break
        if parts.path == "/graphql":
            viewer = {"data": {"viewer": {"login": self.login}}}
            return (200, viewer, {}) if self.login else (403, {"message": "Resource not accessible"}, {})
        path = parts.path.removeprefix("/repos/acme/blog/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if about := re.fullmatch(r"pulls/(\d+)/(reviews|files)|collaborators/(.+)/permission", path):
            return self._approvals(about, query)
        if about := re.fullmatch(r"compare/(\w+\.\.\.\w+)", path):
            base = self.bases.get(about[1])
            return (200, {"merge_base_commit": {"sha": base}}, {}) if base else _missing()
        return self._repository(method, path, query, body)

    def _repository(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if match := re.fullmatch(r"pulls/(\d+)|commits/([0-9a-f]+)/pulls", path):
            return self._pulls(*match.groups())
        if path == "pulls":
            return self._open(body) if method == "POST" else self._heads(query)
        if path == "actions/runs":
            expected = {"head_sha": query["head_sha"], "event": query["event"]}
            found_runs = [run for run in self.runs if expected.items() <= run.items()]
            return 200, {"total_count": len(found_runs), "workflow_runs": found_runs}, {}
        if match := re.fullmatch(r"actions/runs/(\d+)/artifacts", path):
            kept = [one for one in self.artifacts[int(match[1])] if one["name"] == query["name"]]
            return 200, {"total_count": len(kept), "artifacts": kept}, {}
        if re.fullmatch(r"issues/\d+/comments", path):
            if method == "GET":
                return 200, self._page(self.comments, query), {}
            return 201, self.comment(body["body"], self.login or "github-actions[bot]"), {}
        match = re.fullmatch(r"issues/comments/(\d+)", path)
        comment = next((one for one in self.comments if match and one["id"] == int(match[1])), None)
        if comment is None:
            return _missing()
        comment["body"] = body["body"]
        return 200, comment, {}

    def _approvals(self, about: re.Match[str], query: dict[str, str]) -> Reply:
        if about[3]:
            may = self.may.get(about[3], "write")
            return (200, {"permission": may}, {}) if may else _missing()
        lists = {"reviews": self.reviews, "files": self.files}
        return 200, self._page(lists[about[2]].get(int(about[1]), []), query), {}

    def _pulls(self, number: str | None, commit: str | None) -> Reply:
        if number:
            return next(((200, pull, {}) for pull in self.pulls if pull["number"] == int(number)), _missing())
        return 200, [pull for pull in self.pulls if commit in {pull.get("merge_commit_sha"), pull["head"]["sha"]}], {}

    def _heads(self, query: dict[str, str]) -> Reply:
        return 200, self._page([pull for pull in self.pulls if pull["head"]["label"] == query["head"]], query), {}

    def _open(self, body: Any) -> Reply:
        label = f"acme:{body['head']}"
        if any(pull["head"]["label"] == label for pull in self.pulls):
            return 422, {"message": "Validation Failed"}, {}
        self.pull(len(self.pulls) + 1, "new", label=label, base=body["base"])
        self.pulls[-1] |= {"title": body["title"], "body": body["body"]}
        return 201, self.pulls[-1], {}

    @staticmethod
    def _page(entries: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
        size, page = int(query["per_page"]), int(query["page"])
        return entries[(page - 1) * size : page * size]


def _missing() -> Reply:
    return 404, {"message": "Not Found"}, {}

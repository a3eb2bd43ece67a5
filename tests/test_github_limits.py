"""GitHub's limits of requests, and whose comments are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contentops.ci.comments import post_comment
from contentops.ci.github import GitHub, connect, pull_request
from contentops.ci.runner import PlanOrigin
from contentops.errors import ContentopsError
from tests.fakes.github import FakeGitHub, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATE = "Mon, 02 Mar 2026 09:00:00 GMT"
NOON = 1772442000
"""The same as seconds."""
MARK = "<!-- mark -->"


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """A GitHub with one open pull request."""
    with FakeGitHub() as fake:
        fake.pull(7, "1" * 40)
        yield fake


def client(hub: FakeGitHub, waited: list[float] | None = None, **env: str) -> GitHub:
    """A client that notes its pauses instead of waiting."""
    return connect(hub.env(**env), pause=(waited if waited is not None else []).append)


def once(status: int, message: str = "", **headers: str) -> Callable[[], Reply]:
    """An answer."""
    return lambda: (status, {"message": message}, {name.replace("_", "-"): value for name, value in headers.items()})


USED_UP = "API rate limit exceeded for installation"


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (once(403, USED_UP, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOON + 30), date=DATE), 30),
        (once(429, USED_UP, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOON + 20), date=DATE), 20),
        (once(403, USED_UP, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOON - 5), date=DATE), 1),
        (once(403, USED_UP, x_ratelimit_remaining="0", x_ratelimit_reset="soon", date=DATE), 60),
        (once(403, "You have exceeded a secondary rate limit. Please wait"), 60),
        (once(429, "Too many requests"), 1),
        (once(403, USED_UP, x_ratelimit_remaining="0", retry_after="9"), 9),
    ],
    ids=["used up", "used up, 429", "a new window", "no time", "secondary", "no words", "its own wait first"],
)
def test_a_limit_is_waited_for(hub: FakeGitHub, fault: Callable[[], Reply], waits: float) -> None:
    """Until the window ends by the server's clock, or for the minute that GitHub asks for."""
    waited: list[float] = []
    hub.faults.append(("pulls/7", fault))
    assert pull_request(client(hub, waited), PlanOrigin(number=7)) == 7
    assert waited == [waits]


def test_a_limit_that_lasts_is_told_as_one(hub: FakeGitHub) -> None:
    """No one waits for an hour; the hint speaks of no missing right."""
    waited: list[float] = []
    later = once(403, USED_UP, x_ratelimit_remaining="0", x_ratelimit_reset=str(NOON + 3000), date=DATE)
    hub.faults.append(("pulls/7", later))
    with pytest.raises(ContentopsError) as failed:
        pull_request(client(hub, waited), PlanOrigin(number=7))
    assert USED_UP in failed.value.message
    assert failed.value.hint == "GitHub takes no more requests of this token for about 3,000 seconds: run it again then"
    assert waited == []


def test_a_missing_right_is_told_as_one(hub: FakeGitHub) -> None:
    """403 without a word of a limit, whatever is left of it."""
    hub.faults.append(("pulls/7", once(403, "Resource not accessible by integration", x_ratelimit_remaining="4999")))
    with pytest.raises(ContentopsError) as failed:
        pull_request(client(hub), PlanOrigin(number=7))
    assert "lacks a right" in failed.value.hint


# --- who we are --------------------------------------------------------------------------------------------


def viewer(login: Any) -> Callable[[], Reply]:
    """An answer of the other API."""
    return lambda: (200, {"data": {"viewer": {"login": login}}}, {})


def test_an_app_updates_its_own_comment(hub: FakeGitHub) -> None:
    """Its token may not ask for a user, but for the viewer; another bot's comment with the mark is left alone."""
    hub.comment(f"{MARK}\nother")
    mine = hub.comment(f"{MARK}\nold", "acme-content[bot]")
    hub.faults.append(("POST /graphql", viewer("acme-content[bot]")))
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nnew").new
    assert (mine["body"], hub.comments[0]["body"]) == (f"{MARK}\nnew", f"{MARK}\nother")


@pytest.mark.parametrize("answer", [once(403), viewer(None), viewer(3), lambda: (200, [], {}), lambda: (200, b"<", {})])
def test_a_bot_that_is_not_told_its_name(hub: FakeGitHub, answer: Callable[[], Reply]) -> None:
    """A bot's comment with the very mark is ours; a person's never is."""
    hub.comment(f"{MARK}\nfake", "stranger")
    hub.comment(f"{MARK} \nold", "acme-content[bot]")
    hub.faults.append(("POST /graphql", answer))
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nnew").new
    assert [one["body"] for one in hub.comments] == [f"{MARK}\nfake", f"{MARK}\nnew"]


def test_a_limit_at_the_question_who_we_are(hub: FakeGitHub) -> None:
    """It says nothing about us, and is waited for."""
    waited: list[float] = []
    hub.login = "someone"
    hub.faults.append(("GET /user", once(403, "secondary rate limit")))
    hub.comment(f"{MARK}\nold", "acme-content[bot]")
    assert post_comment(client(hub, waited), 7, MARK, f"{MARK}\nnew").new
    assert waited == [60]


@pytest.mark.parametrize("below", ["", "/api/v3"], ids=["github.com", "a server of one's own"])
def test_where_the_viewer_is_asked(hub: FakeGitHub, below: str) -> None:
    """Beside the version of the other API."""
    hub.faults.append(("POST", viewer("someone")))
    github = client(hub, GITHUB_API_URL=hub.api + below)
    assert github.ask("query { viewer { login } }") == {"viewer": {"login": "someone"}}
    assert hub.asked[-1] == ("POST", f"{below.removesuffix('/v3')}/graphql")

"""GitHub on loopback for tests: one with a pull request, clients of it, and answers given instead of its own."""

from collections.abc import Callable, Iterator

import pytest

from contentops.ci.github import GitHub
from tests.fakes.github import FakeGitHub, Reply

SHA = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """A GitHub with one open pull request, number 7 of commit `SHA`."""
    with FakeGitHub() as fake:
        fake.pull(7, SHA)
        yield fake


def client(hub: FakeGitHub, pauses: list[float] | None = None, **env: str) -> GitHub:
    """A client that notes its pauses instead of waiting."""
    from contentops.ci.github import connect

    return connect(hub.env(**env), pause=(pauses if pauses is not None else []).append)


def once(status: int, message: str = "", **headers: str) -> Callable[[], Reply]:
    """An answer."""
    return lambda: (status, {"message": message}, {name.replace("_", "-"): value for name, value in headers.items()})

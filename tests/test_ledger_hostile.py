"""Hostile rows: a row is input like any other. Nothing fails, nothing is sent elsewhere, and others go on."""

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from contentops.ledger.jobs import LedgerScope, Runner
from contentops.ledger.project import lock_apply
from contentops.ledger.session import LedgerSession
from contentops.state.lock import lineage_of
from tests.ledgers import Checkout
from tests.processes import KEY, Served, tree
from tests.running import Completed, Run

ESC = "\x1b[2J\x1b]0;gone\x07"


def _write(database: str, statement: str, *values: object) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        assert connection.execute(statement.encode(), values).rowcount > 0


def _harmless(ended: Completed) -> Completed:
    """No traceback, no control character, no key."""
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    assert not [one for one in said if ord(one) < 32 and one not in "\n\t"], said
    assert KEY not in said
    return ended


ITEM = 'substring(line FROM \'"item":"([a-z0-9]+)"\')'
SUBMITS: dict[str, tuple[str, ...]] = {
    "a request id of another": ("request_id = 'r' || repeat('x', 200000)",),
    "another lineage": ("lineage = %s, environment = %s", ESC, ESC),
    "another environment": ("environment = %s", ESC),
    "a time that is none": ("at = %s", ESC),
    "another state": ("state = 'unknown'",),
    "a line of no job": ("line = %s", '{"id": "x"}'),
    "no line": ("state = 'running', line = ''",),
    "another server": ("server = 'https://evil.example:443'",),
    "running at another server": (
        "state = 'running', line = (line::jsonb || jsonb_build_object('state', 'running', 'server', 'https://evil.example:443', 'job', '../../account'))::text",
    ),
    "a job of another path": (
        "state = 'running', line = (line::jsonb || jsonb_build_object('state', 'running', 'job', '../../account'))::text",
    ),
    "a line of surrogates": ("line = %s", '{"id": "\\ud800", "item": "a"}'),
    "a huge line": ("state = 'unknown', line = repeat('[', 9000000)",),
}
"""What is written into the row of an item, with its values."""

SHARED: dict[str, tuple[str, ...]] = {
    "a limiter of no sense": ("UPDATE contentops.limiter SET state = '{\"sent\": \"x\"}'",),
    "a runner of strange words": ("INSERT INTO contentops.runner (number, who, page) VALUES (-1, %s, %s)", *(ESC,) * 2),
}  # fmt: skip
"""What is written into the rows that all items share, with its values."""


def _commands(invoke: Run, root: Path, env: Mapping[str, str]) -> None:
    for command in (("plan",), ("status",), ("ledger", "status"), ("content", "list"), ("apply", "--yes")):
        _harmless(invoke(*command, cwd=root, env=env))


def test_rows_of_submits(checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]) -> None:
    """Whatever is in them, every command ends in words, other items go on, and nothing is paid for again."""
    names = {f"i{number}": name for number, name in enumerate(SUBMITS)}
    topics = sorted(f"{item} (submits)" for item in ("well", *names))
    one, two = (checkout("{} (submits)", *names, "well", at=at) for at in ("one", "two"))
    assert invoke("apply", "--yes", cwd=one, env=env).code == 0
    for item, name in names.items():
        words, *values = SUBMITS[name]
        _write(database, f"UPDATE contentops.job SET {words} WHERE {ITEM} = '{item}'", *values)
    _commands(invoke, two, env)
    # Where a row is in the way of its own item, the others are there.
    assert "out/well.md" in tree(two)
    _write(database, f"DELETE FROM contentops.job WHERE {ITEM} IS DISTINCT FROM 'well'")
    _harmless(invoke("apply", "--yes", cwd=two, env=env))
    assert (served.charges("(submits)"), served.jobs("evil")) == (topics, [])
    assert list(tree(two)) == sorted(f"out/{item}.md" for item in ("well", *names))


@pytest.mark.parametrize("name", SHARED)
def test_rows_of_all_stop_no_one(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str], name: str
) -> None:
    """The same: nothing in them stops anyone."""
    root = checkout(f"{{}} ({name})", "a", "b")
    assert invoke("apply", "--yes", "--select", "a", cwd=root, env=env).code == 0
    _write(database, *SHARED[name])
    _commands(invoke, root, env)
    assert served.charges(f"({name})") == [f"a ({name})", f"b ({name})"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_a_strange_name_is_harmless(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]
) -> None:
    """The words of another machine are made harmless."""
    root = checkout("{} (name)", "a", "b")
    scope = LedgerScope(lineage=lineage_of("acme-blog"), environment="", server=served.base_url)
    with LedgerSession(database) as session:
        lock_apply(Runner(session, who=ESC, page=ESC), scope)
        ended = _harmless(invoke("apply", "--yes", cwd=root, env=env))
        assert ended.code == 4

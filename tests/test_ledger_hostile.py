"""Hostile rows: a row is input like any other. Nothing fails, nothing is sent elsewhere, and others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from contentops.ledger.applying import applying
from contentops.ledger.entries import EntryOwner
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.state.lock import lineage_of
from tests.processes import KEY, Served, tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.ledgers import Checkout
    from tests.running import Completed, Run

DEEP = "[" * 3000 + "]" * 3000
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


SUBMITS: dict[str, tuple[str, ...]] = {
    "work of no shape": ("work = '7'",),
    "work that is deep": ("work = %s", f'{{"request": {DEEP}}}'),
    "work without a request": ("work = work - 'request'",),
    "work for another request": ("work = jsonb_set(work, '{request,inputs,topic}', '\"evil\"')",),
    "negative work": (
        'work = work || \'{"attempt": -1, "credits": -4, "job_timeout": -1}\', credits = -2147483648, rank = -9223372036854775808',
    ),
    "a request id of another": ("request_id = 'r' || repeat('x', 200000)",),
    "another lineage": ("lineage = %s, environment = %s", ESC, ESC),
    "words that move the cursor": ("item = %s, project = %s, who = %s, error = %s, plan_id = %s", *(ESC,) * 5),
    "a line where nothing was sent": ("line = %s", '{"open": "x"}'),
    "running without a line": ("state = 'running'",),
    "running at another server": (
        "state = 'running', line = jsonb_build_object('open', request_id, 'item', item, 'digest', digest, 'attempt', 1, 'state', 'running', 'server', 'https://evil.example:443', 'dialect', 'v1', 'credits', 4, 'job_id', '../../account')",
    ),
    "a line of surrogates": ("state = 'paid', line = %s", '{"open": "\\ud800", "item": "a"}'),
    "a huge line": ("state = 'unknown', line = repeat('[', 9000000)",),
}
"""What is written into the row of an item, with its values."""

ACCOUNT, FACT = "UPDATE contentops.account SET settings =", "INSERT INTO contentops.fact SELECT id,"
SHARED: dict[str, tuple[str, ...]] = {
    "settings of no shape": (f"{ACCOUNT} '[]'",),
    "settings that are deep": (f"{ACCOUNT} %s", f'{{"x": {DEEP}}}'),
    "settings that are no address": (f'{ACCOUNT} settings || \'{{"base_url": "http://[::1"}}\'',),
    "negative settings": (f'{ACCOUNT} settings || \'{{"requests_per_minute": -1, "max_in_flight": -1}}\'',),
    "facts of no shape": (
        f"{FACT} unnest(ARRAY['durations', 'facts ' || server, 'proven', 'proven x y z']), '[7]' FROM contentops.account",
    ),
    "facts that are deep": (
        f"{FACT} unnest(ARRAY['durations', 'facts ' || server]), %s::jsonb FROM contentops.account",
        f'{{"shows_after": {DEEP}}}',
    ),
    "facts of other types": (
        f"{FACT} 'facts ' || server, %s::jsonb FROM contentops.account",
        '{"shows_after": -1e300, "stores_jobs": "no", "hides_jobs": 7, "creates_only": []}',
    ),
    "durations of other types": (
        f"{FACT} 'durations', jsonb_build_object(server, %s::jsonb) FROM contentops.account",
        '{"kind": ["x", -1, 1e300], "other": 7}',
    ),
    "a runner of strange words": (
        "INSERT INTO contentops.runner (number, kind, who, page) VALUES (-1, %s, %s, %s)",
        *(ESC,) * 3,
    ),
}
"""What is written into the rows that all items share, with its values."""


def _commands(invoke: Run, root: Path, env: Mapping[str, str]) -> None:
    for command in (("queue",), ("queue", "--json"), ("plan",), ("work", "--once"), ("queue",), ("apply", "--yes")):
        _harmless(invoke(*command, cwd=root, env=env))


def test_rows_of_submits(checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]) -> None:
    """Whatever stands in them, every command ends in words, and what is not concerned is worked off."""
    names = {f"i{number}": name for number, name in enumerate(SUBMITS)}
    topics = sorted(f"{item} (submits)" for item in ("well", *names))
    root = checkout("{} (submits)", *names, "well")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    for item, name in names.items():
        words, *values = SUBMITS[name]
        _write(database, f"UPDATE contentops.entry SET {words} WHERE item = '{item}'", *values)
    _commands(invoke, root, env)
    charges = served.charges("(submits)")
    assert len(charges) == len(set(charges))
    # Where a row stands in the way of its own item, the others are there.
    assert "well (submits)" in charges
    assert "out/well.md" in tree(root)
    _write(database, "DELETE FROM contentops.entry WHERE item <> 'well'")
    _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert served.charges("(submits)") == topics
    assert served.jobs("evil") == []
    assert list(tree(root)) == sorted(f"out/{item}.md" for item in ("well", *names))


@pytest.mark.parametrize("name", SHARED)
def test_rows_that_all_share(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str], name: str
) -> None:
    """The same: nothing in them stands in anyone's way."""
    root = checkout(f"{{}} ({name})", "a", "b")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    _write(database, *SHARED[name])
    _commands(invoke, root, env)
    assert served.charges(f"({name})") == [f"a ({name})", f"b ({name})"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_an_account_whose_row_names_another_server(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]
) -> None:
    """Nothing is sent there, and nothing of the account is done: every command says so, and what to do helps."""
    root = checkout("{} (elsewhere)", "a", "b")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    evil = '{"base_url": "https://evil.example/v1"}'
    _write(
        database,
        "UPDATE contentops.account SET server = 'https://evil.example:443', settings = settings || %s::jsonb",
        evil,
    )
    for command in (("queue",), ("plan",), ("work", "--once"), ("apply", "--yes"), ("apply", "--detach", "--yes")):
        ended = _harmless(invoke(*command, cwd=root, env=env))
        if command[0] == "work":
            assert "must not be sent to `https://evil.example:443`" in ended.stderr
        if command[0] == "apply":
            assert "of `https://evil.example:443`" in ended.stderr
            assert "set another `api.account`" in ended.stderr
    assert served.jobs("(elsewhere)") == []
    named = (root / "contentops.yaml").read_text().replace("api: {", "api: {account: ours, ")
    (root / "contentops.yaml").write_text(named)
    for _ in range(2):
        _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert served.charges("(elsewhere)") == ["a (elsewhere)", "b (elsewhere)"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


TEXTS = {
    "no object": "7",
    "deep": f'{{"title": "t", "body": "b", "front": {{"x": {DEEP}}}}}',
    "surrogates": '{"title": "\\ud800", "body": "b"}',
    "other types": '{"title": 7, "body": ["b"], "credits": "4"}',
    "huge": '{"title": "t", "body": "' + "x" * 5_000_000,
    "control characters": '{"title": "\\u001b[2J\\u0000", "body": "\\u0000\\u001b[2JText.\\u0007\\n", "credits": -4,'
    ' "content_id": "../../account", "job_id": "\\u0000", "front": {"x": "\\u0000\\u001b"}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_rows_of_texts(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str], name: str
) -> None:
    """A text that cannot be used is none; one that can is cleaned like that of any server."""
    root = checkout(f"{{}} (text {name})", "a", "b")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    assert invoke("work", "--once", env=env).code == 0
    _write(database, "UPDATE contentops.text SET value = %s, title = %s WHERE item = 'a'", TEXTS[name], ESC)
    _harmless(invoke("plan", cwd=root, env=env))
    for _ in range(2):
        _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert served.charges(f"(text {name})") == [f"a (text {name})", f"b (text {name})"]
    found = tree(root)
    assert "out/b.md" in found
    for text in found.values():
        assert not [one for one in text if ord(one) < 32 and one not in "\n\t"]


def test_who_applies_has_a_strange_name(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]
) -> None:
    """The words of another machine are made harmless."""
    root = checkout("{} (name)", "a", "b")
    owner = EntryOwner(lineage=lineage_of("acme-blog"), environment="", project="acme-blog")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    with LedgerSession(database) as session, applying(Runner(session, kind="apply", who=ESC), owner, page=ESC):
        ended = _harmless(invoke("apply", "--yes", cwd=root, env=env))
        assert ended.code == 4

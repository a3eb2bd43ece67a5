"""Hostile rows: a row is input like any other. Nothing fails, nothing is sent elsewhere, and others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.processes import KEY, PROJECT, Served, blog, tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.running import Build, Completed, Run

DEEP = "[" * 3000 + "]" * 3000
ESC = "\x1b[2J\x1b]0;gone\x07"
A = "item = 'a'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db") as served:
        yield served


def _env(database: str) -> Mapping[str, str]:
    return {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}


def _checkout(build: Build, server: Served, at: str, topic: str, *items: str) -> Path:
    return build(
        {
            "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
            "content/blog.yaml": blog(*(items or ("a", "b")), topic=topic),
        },
        at=at,
    )


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


SUBMITS: dict[str, tuple[str, tuple[object, ...]]] = {
    "work of no shape": (f"UPDATE contentops.entry SET work = '7' WHERE {A}", ()),
    "work that is deep": (f"UPDATE contentops.entry SET work = %s WHERE {A}", (f'{{"request": {DEEP}}}',)),
    "work without a request": (f"UPDATE contentops.entry SET work = work - 'request' WHERE {A}", ()),
    "work for another request": (
        f"UPDATE contentops.entry SET work = jsonb_set(work, '{{request,inputs,topic}}', '\"evil\"') WHERE {A}",
        (),
    ),
    "negative work": (
        (
            f'UPDATE contentops.entry SET work = work || \'{{"attempt": -1, "credits": -4, "job_timeout": -1}}\','
            f" credits = -2147483648, rank = -9223372036854775808 WHERE {A}"
        ),
        (),
    ),
    "a request id of another": (f"UPDATE contentops.entry SET request_id = 'r' || repeat('x', 200000) WHERE {A}", ()),
    "another lineage": (f"UPDATE contentops.entry SET lineage = %s, environment = %s WHERE {A}", (ESC, ESC)),
    "words that move the cursor": (
        f"UPDATE contentops.entry SET item = %s, project = %s, who = %s, error = %s, plan_id = %s WHERE {A}",
        (ESC,) * 5,
    ),
    "a line where nothing was sent": (f"UPDATE contentops.entry SET line = %s WHERE {A}", ('{"open": "x"}',)),
    "running without a line": (f"UPDATE contentops.entry SET state = 'running' WHERE {A}", ()),
    "running at another server": (
        (
            f"UPDATE contentops.entry SET state = 'running', line = jsonb_build_object('open', request_id, 'item', item,"
            f" 'digest', digest, 'attempt', 1, 'state', 'running', 'server', 'https://evil.example:443', 'dialect', 'v1',"
            f" 'credits', 4, 'job_id', '../../account') WHERE {A}"
        ),
        (),
    ),
    "a line of surrogates": (
        f"UPDATE contentops.entry SET state = 'paid', line = %s WHERE {A}",
        ('{"open": "\\ud800", "item": "a"}',),
    ),
    "a huge line": (f"UPDATE contentops.entry SET state = 'unknown', line = repeat('[', 9000000) WHERE {A}", ()),
}
"""What stands in the row of an item."""

SHARED: dict[str, tuple[str, tuple[object, ...]]] = {
    "settings of no shape": ("UPDATE contentops.account SET settings = '[]'", ()),
    "settings that are deep": ("UPDATE contentops.account SET settings = %s", (f'{{"x": {DEEP}}}',)),
    "settings that are no address": (
        'UPDATE contentops.account SET settings = settings || \'{"base_url": "http://[::1"}\'',
        (),
    ),
    "negative settings": (
        'UPDATE contentops.account SET settings = settings || \'{"requests_per_minute": -1, "max_in_flight": -1}\'',
        (),
    ),
    "facts of no shape": (
        (
            "INSERT INTO contentops.fact SELECT id, unnest(ARRAY['durations', 'facts ' || server, 'proven', 'proven x y z']),"
            " '[7]' FROM contentops.account"
        ),
        (),
    ),
    "facts that are deep": (
        (
            "INSERT INTO contentops.fact SELECT id, unnest(ARRAY['durations', 'facts ' || server]), %s::jsonb"
            " FROM contentops.account"
        ),
        (f'{{"shows_after": {DEEP}}}',),
    ),
    "facts of other types": (
        (
            "INSERT INTO contentops.fact SELECT id, 'facts ' || server,"
            ' \'{"shows_after": -1e300, "stores_jobs": "no", "hides_jobs": 7, "creates_only": []}\''
            " FROM contentops.account"
        ),
        (),
    ),
    "durations of other types": (
        (
            "INSERT INTO contentops.fact SELECT id, 'durations',"
            ' jsonb_build_object(server, \'{"kind": ["x", -1, 1e300], "other": 7}\'::jsonb) FROM contentops.account'
        ),
        (),
    ),
    "a runner of strange words": (
        "INSERT INTO contentops.runner (number, kind, who, page) VALUES (-1, %s, %s, %s)",
        (ESC,) * 3,
    ),
}
"""What stands in the rows that all items share."""


def _commands(invoke: Run, root: Path, env: Mapping[str, str]) -> None:
    for command in (("queue",), ("queue", "--json"), ("plan",), ("work", "--once"), ("queue",), ("apply", "--yes")):
        _harmless(invoke(*command, cwd=root, env=env))


def test_rows_of_submits(project: Build, invoke: Run, server: Served, database: str) -> None:
    """Whatever stands in them, every command ends in words, and what is not concerned is worked off."""
    names, env = {f"i{number}": name for number, name in enumerate(SUBMITS)}, _env(database)
    topics = sorted(f"{item} (submits)" for item in ("well", *names))
    root = _checkout(project, server, "one", "{} (submits)", *names, "well")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    for item, name in names.items():
        statement, values = SUBMITS[name]
        _write(database, statement.replace(A, f"item = '{item}'"), *values)
    _commands(invoke, root, env)
    charges = server.charges("(submits)")
    assert len(charges) == len(set(charges))
    # Where a row stands in the way of its own item, the others are there.
    assert "well (submits)" in charges
    assert "out/well.md" in tree(root)
    _write(database, "DELETE FROM contentops.entry WHERE item <> 'well'")
    _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert server.charges("(submits)") == topics
    assert server.jobs("evil") == []
    assert list(tree(root)) == sorted(f"out/{item}.md" for item in ("well", *names))


@pytest.mark.parametrize("name", SHARED)
def test_rows_that_all_share(project: Build, invoke: Run, server: Served, database: str, name: str) -> None:
    """The same: nothing in them stands in anyone's way."""
    topic, env = f"{{}} ({name})", _env(database)
    root = _checkout(project, server, "one", topic)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    statement, values = SHARED[name]
    _write(database, statement, *values)
    _commands(invoke, root, env)
    assert server.charges(f"({name})") == [f"a ({name})", f"b ({name})"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_an_account_whose_row_names_another_server(project: Build, invoke: Run, server: Served, database: str) -> None:
    """Nothing is sent there, and nothing of the account is done: every command says so, and what to do helps."""
    env, root = _env(database), _checkout(project, server, "one", "{} (elsewhere)")
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
            assert "may not be sent to `https://evil.example:443`" in ended.stderr
        if command[0] == "apply":
            assert "as one of `https://evil.example:443`" in ended.stderr
            assert "say another `api.account`" in ended.stderr
    assert server.jobs("(elsewhere)") == []
    named = (root / "contentops.yaml").read_text().replace("api: {", "api: {account: ours, ")
    (root / "contentops.yaml").write_text(named)
    for _ in range(2):
        _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert server.charges("(elsewhere)") == ["a (elsewhere)", "b (elsewhere)"]
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
def test_rows_of_texts(project: Build, invoke: Run, server: Served, database: str, name: str) -> None:
    """A text that cannot be used is none; one that can is cleaned like that of any server."""
    topic, env = f"{{}} (text {name})", _env(database)
    root = _checkout(project, server, "one", topic)
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    assert invoke("work", "--once", env=env).code == 0
    _write(database, f"UPDATE contentops.text SET value = %s, title = %s WHERE {A}", TEXTS[name], ESC)
    _harmless(invoke("plan", cwd=root, env=env))
    for _ in range(2):
        _harmless(invoke("apply", "--yes", cwd=root, env=env))
    assert server.charges(f"(text {name})") == [f"a (text {name})", f"b (text {name})"]
    found = tree(root)
    assert "out/b.md" in found
    for text in found.values():
        assert not [one for one in text if ord(one) < 32 and one not in "\n\t"]


def test_who_applies_has_a_strange_name(project: Build, invoke: Run, server: Served, database: str) -> None:
    """The words of another machine are made harmless."""
    from contentops.ledger.applying import applying
    from contentops.ledger.entries import EntryOwner
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession
    from contentops.state.lock import lineage_of

    env, root = _env(database), _checkout(project, server, "one", "{} (name)")
    owner = EntryOwner(lineage=lineage_of("acme-blog"), environment="", project="acme-blog")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    with LedgerSession(database) as session, applying(Runner(session, kind="apply", who=ESC), owner, page=ESC):
        ended = _harmless(invoke("apply", "--yes", cwd=root, env=env))
        assert ended.code == 4

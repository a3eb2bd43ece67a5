"""`catalog`, `content` and `stats` on the command line: what they print, and what they say of a server gone wrong."""

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import structs

from contentops.cli.commands.catalog import pulled_text
from contentops.cli.terminal import harmless
from contentops.errors import ApiError
from contentops.manifests.catalog_lock import CatalogChange
from contentops.model import Catalog, CatalogEntry
from contentops.operations import connection as remote
from contentops.operations.catalog import Pulled
from contentops.reporting.layout import unpainted
from contentops.schema_files import load_schema
from contentops.server import contents
from contentops.server.store import Store
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.processes import Answer, Scripted
from tests.running import Build, Run
from tests.serving import served

PROJECT = """\
version: 1
project: acme
api: {base_url: "%s", requests_per_minute: 0, dialect: %s}
defaults: {template: blog_article_generator, style: general_blog}
"""
ITEMS = "items:\n  - {id: tea, inputs: {topic: Tea, target_audience: readers}}\n"


def set_up(project: Build, base_url: str, dialect: str = "v1", **files: str) -> Path:
    """A project with one item."""
    return project({"contentops.yaml": PROJECT % (base_url, dialect), "content/a.yaml": ITEMS, **files})


@pytest.fixture
def local(project: Build, invoke: Run) -> Path:
    """A project of the embedded server with one generated item."""
    root = set_up(project, "local")
    assert invoke("apply", "--yes").code == 0
    return root


def test_contents_are_listed_and_printed(local: Path, invoke: Run) -> None:
    """Each content with its item; its text exactly as stored."""
    listed = invoke("content", "list", "--json").json
    (one,) = listed["contents"]
    assert (one["item"], one["superseded"], listed["server"]) == ("tea", False, "local")
    text = invoke("content", "list").stdout
    assert text.startswith("CONTENT ")
    assert f"{one['id']}  tea " in text
    assert text.endswith("\n1 content, 0 without an item.\n")
    got = invoke("content", "get", one["id"], "--json").json
    assert (got["id"], got["item"], got["title"]) == (one["id"], "tea", one["title"])
    assert invoke("content", "get", one["id"]).stdout == got["body"]
    assert got["body"].strip() in (local / "out/tea.md").read_text()


def test_deleting_asks_and_says_whose_it_is(local: Path, invoke: Run) -> None:
    """No one to ask: nothing is deleted. What an item is saved as is named; its file and record stay as they are."""
    (one,) = invoke("content", "list", "--json").json["contents"]
    before = [(local / name).read_bytes() for name in ("contentops.lock", "out/tea.md")]
    refused = invoke("content", "delete", one["id"])
    assert (refused.code, "not-confirmed" in refused.stderr) == (4, True)
    assert f"warning: content `{one['id']}` is the saved text of item `tea`; its next save" in refused.stderr
    assert len(invoke("content", "list", "--json").json["contents"]) == 1
    deleted = invoke("content", "delete", one["id"], one["id"], "--yes")
    assert (deleted.code, deleted.stdout) == (0, "Deleted 1 content.\n")
    assert "is the saved text of item `tea`" in deleted.stderr
    assert f"{one['id']}: deleted" in deleted.stderr
    assert invoke("content", "list").stdout == "No contents.\n"
    assert [(local / name).read_bytes() for name in ("contentops.lock", "out/tea.md")] == before
    path = local / "out/tea.md"
    path.write_text(path.read_text().replace("Tea", "Green tea"))
    assert invoke("apply", "--yes").code == 0
    (new,) = invoke("content", "list", "--json").json["contents"]
    assert (new["item"], new["id"] == one["id"]) == ("tea", False)


def test_deleting_what_is_not_there(local: Path, invoke: Run) -> None:
    """An unknown id deletes nothing of the others."""
    (one,) = invoke("content", "list", "--json").json["contents"]
    ended = invoke("content", "delete", one["id"], "cnt_none", "--yes")
    assert (ended.code, "unknown-content" in ended.stderr) == (64, True)
    assert len(invoke("content", "list", "--json").json["contents"]) == 1


def test_superseded_copies_are_listed_and_deleted(local: Path, invoke: Run) -> None:
    """Those that a record names, and no others; not what is an item's text now, though another record names it so."""
    with contextlib.closing(Store(local / ".contentops/local.db")) as store, store.write():
        made = [contents.save(store, contents.ContentChange(title=name), at=1.0) for name in ("old", "free")]
    living = next(one["id"] for one in invoke("content", "list", "--json").json["contents"] if one["item"])
    lock = local / "contentops.lock"
    lines = [json.loads(line) for line in lock.read_text().splitlines()]
    lines[1]["superseded"] = [made[0], "cnt_gone"]
    lock.write_text("".join(json.dumps(line) + "\n" for line in lines))
    staging = [lines[0], {**lines[1], "id": "other", "output": "other.md", "content_id": "", "superseded": [living]}]
    (local / "contentops.staging.lock").write_text("".join(json.dumps(line) + "\n" for line in staging))
    ended = invoke("content", "delete", made[0], "--yes", "--json").json
    assert [(one["id"], one["item"], one["superseded"]) for one in ended["contents"]] == [(made[0], "tea", True)]
    assert sorted(one["id"] for one in invoke("content", "list", "--json").json["contents"]) == sorted(
        [living, made[1]]
    )


def test_a_content_of_another_environment_is_not_free(project: Build, invoke: Run) -> None:
    """The lock of another environment names it: deleting it says so."""
    root = set_up(project, "local")
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text() + 'environments: {staging: {output: "staging/{{ item.id }}.md"}}\n')
    assert invoke("apply", "--yes", "--env", "staging").code == 0
    (one,) = invoke("content", "list", "--json").json["contents"]
    assert (one["item"], one["lock"]) == ("tea", "contentops.staging.lock")
    assert "tea (contentops.staging.lock)" in invoke("content", "list").stdout
    refused = invoke("content", "delete", one["id"])
    assert "is the saved text of item `tea` (contentops.staging.lock)" in refused.stderr


def test_stats(local: Path, invoke: Run) -> None:
    """The dashboard and the credits, in the server's own names."""
    text = invoke("stats").stdout
    assert text.startswith("dashboard:\n  total_content: 1\n")
    assert "  generations:\n    total: 1\n" in text
    assert "\ncredits:\n  used: 4\n" in text
    assert "of the whole account" in invoke("stats").stderr
    document = invoke("stats", "--json").json
    assert (document["dashboard"]["total_content"], document["credits"]["used"]) == (1, 4)


def test_the_built_in_catalog(project: Build, invoke: Run) -> None:
    """Listed by kind, shown by slug, as text and JSON; nothing to pull."""
    set_up(project, "local")
    everything = invoke("catalog", "list").stdout
    assert [line.split()[0] for line in everything.split("\n") if line.isupper()] == ["TEMPLATE", "STYLE", "VERTICAL"]
    assert invoke("catalog", "list", "verticals").stdout.startswith("VERTICAL ")
    document = invoke("catalog", "list", "styles", "--json").json
    assert set(document) == {"format_version", "server", "styles"}
    shown = invoke("catalog", "show", "blog_article_generator").stdout
    assert shown.startswith("template blog_article_generator\n  name: Blog article\n")
    assert "\ntarget_audience        any       yes                Who reads it; also `audience`\n" in shown
    assert invoke("catalog", "show", "legal", "--json").json["vertical"]["slug"] == "legal"
    assert "tone:" in invoke("catalog", "show", "general_blog").stdout
    pulled = invoke("catalog", "pull")
    assert pulled.stdout.startswith("local: 13 templates, 72 styles, ")
    assert pulled.stdout.endswith("; built in.\n")
    assert pulled.stderr == "note: the catalog of the bundled server is built in\n"


def test_the_whole_way_against_a_served_room(tmp_path: Path, project: Build, invoke: Run, processes: None) -> None:
    """Pull, check, list and ask, over HTTP with a key, the address found by `auto`."""
    with served(tmp_path, key="k-1") as address:
        env = {"WRITERZROOM_API_KEY": "k-1"}
        root = set_up(project, address, "auto")
        assert [one["code"] for one in invoke("validate", "--json").json["diagnostics"]] == ["no-catalog"]
        pulled = invoke("catalog", "pull", env=env)
        assert pulled.stdout == f"{address}: 13 templates, 72 styles, 8 verticals; catalog.lock.json written.\n"
        assert pulled.stderr.startswith("13 templates\n72 styles\ntemplate 1 of 13: ")
        assert invoke("validate", "--json").json["diagnostics"] == []
        assert jsonschema.Draft7Validator(load_schema("catalog")).is_valid(
            json.loads((root / "catalog.lock.json").read_text())
        )
        again = invoke("catalog", "pull", "--json", env=env).json
        assert (again["written"], again["changes"], again["counts"]["styles"]) == (False, [], 72)
        assert invoke("stats", env=env).stdout.startswith("dashboard:\n")
        assert invoke("content", "list", env=env).stdout == "No contents.\n"
        assert "dialect `" in invoke("doctor", env=env).stdout
        wrong = invoke("stats", env={"WRITERZROOM_API_KEY": "wrong-key-1"})
        assert (wrong.code, f"`GET {address}" in wrong.stderr, "(401)" in wrong.stderr) == (1, True, True)
        assert "wrong-key-1" not in wrong.stderr


def test_brand_voices_that_a_server_does_not_tell(tmp_path: Path, project: Build, invoke: Run, processes: None) -> None:
    """They are not checked, and a note says so where an item names one; else it need not be known."""
    with served(tmp_path) as address:
        root = set_up(project, address, "auto")
        assert "brand voice" not in invoke("catalog", "pull").stdout
        assert invoke("validate", "--json").json["diagnostics"] == []
        (root / "content/a.yaml").write_text(ITEMS.replace("{id", "{brand_voice: bv_any, id"))
        (note,) = invoke("validate", "--json").json["diagnostics"]
        assert (note["code"], note["severity"]) == ("unchecked-brand-voice", "note")
        assert invoke("catalog", "list", "brand-voices").stdout == "The server does not list its brand voices.\n"
        assert invoke("apply", "--yes").code == 0
        assert "It follows the brand voice bv_any." in (root / "out/tea.md").read_text()
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text().replace(address, "local").replace("auto", "v1"))
    assert invoke("validate", "--json").json["diagnostics"] == []


LOCK: dict[str, Any] = {
    "format_version": "1.0",
    "servers": {
        "http://127.0.0.1:9": {
            "templates": [
                {"slug": "post", "inputs": [
                    {"name": "b", "kind": "select", "options": ["x", 1, True], "default": "x\u001b[31m"},
                    {"name": "a", "kind": "text", "required": True, "description": "evil \u001b]0;x\u0007 text"},
                ]},
                {"slug": "quiet", "inputs": None}, {"slug": "bare", "inputs": []},
            ],
            "styles": [{"slug": "post", "tone": "calm"}],
            "verticals": None,
        },
    },
}  # fmt: skip


def test_the_file_is_shown_harmless(project: Build, invoke: Run) -> None:
    """Slugs of several kinds, unknown inputs, options and hostile words."""
    assert jsonschema.Draft7Validator(load_schema("catalog")).is_valid(LOCK)
    set_up(project, "http://127.0.0.1:9/v1", **{"catalog.lock.json": json.dumps(LOCK)})
    shown = invoke("catalog", "show", "post").stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.index("\na ") < shown.index("\nb ")
    assert 'one of "x", 1, true' in shown
    assert "\n\nstyle post\n  tone: calm\n" in shown
    assert set(invoke("catalog", "show", "post", "--json").json) == {"format_version", "server", "template", "style"}
    assert "inputs: not known; none is checked" in invoke("catalog", "show", "quiet").stdout
    assert invoke("catalog", "show", "bare").stdout == "template bare\n"
    listed = invoke("catalog", "list").stdout
    assert "quiet                     (not known)" in listed
    assert listed.endswith("\n\nThe server does not list its verticals.\n")


def test_what_a_pull_says() -> None:
    """A line per difference with its items, then the counts."""
    items = tuple(f"i{number}" for number in range(10))
    pulled = Pulled(
        server="https://api.example.test:443",
        snapshot=Catalog(styles={"s": CatalogEntry(slug="s")}),
        written=True,
        changes=(
            CatalogChange(kind="template", how="changed", slug="a", details=("input `x` is new",), items=items),
            CatalogChange(kind="style", how="removed", slug="b\x1b", items=("i1",)),
            CatalogChange(kind="vertical", how="added", slug="c"),
            CatalogChange(kind="brand_voice", how="removed", slug="d"),
        ),
    )
    assert list(map(unpainted, pulled_text(pulled))) == [
        "~ template `a` changed", "    input `x` is new",
        "    used by 10 items: `i0`, `i1`, `i2`, `i3`, `i4`, `i5`, `i6`, `i7` and 2 more", "- style `b\\x1b` removed",
        "    used by 1 item: `i1`", "+ vertical `c` added", "- brand voice `d` removed",
        "https://api.example.test:443: 0 templates, 1 style, 0 verticals; catalog.lock.json written.",
    ]  # fmt: skip


UNKNOWN = "error[unknown-slug]: `local` has no template, style, vertical or brand voice `{}`"


@pytest.mark.parametrize(("server", "command", "code", "words"), [
    ("local", "content get cnt_none", 1, ["there is no content `cnt_none`: `GET http://local/v1/content/cnt_none` (404)", "`contentops content list` lists them"]),
    ("local", "content delete --yes", 64, ["error[usage]"]),
    ("local", "catalog show blog_artcle", 64, [UNKNOWN.format("blog_artcle"), "blog_article_generator"]),
    ("local", "catalog show zzzz", 64, [UNKNOWN.format("zzzz"), "catalog list"]),
    ("http://127.0.0.1:9/v1", "catalog list", 1, ["error[no-catalog]: there is no catalog of `http://127.0.0.1:9`", "run `contentops catalog pull`"]),
])  # fmt: skip
def test_what_is_not_there_is_named(
    project: Build, invoke: Run, server: str, command: str, code: int, words: list[str]
) -> None:
    """With where to look, or the nearest name."""
    set_up(project, server)
    ended = invoke(*command.split())
    assert (ended.code, [each for each in words if each not in ended.stderr]) == (code, [])


PAGE = {"Content-Type": "text/html"}, b"<!doctype html><title>Sign in to Airport WiFi</title>"
SERVERS: dict[str, tuple[Answer, list[str]]] = {
    "wrong key": ((401, {}, b'{"error": {"message": "Invalid API key"}}'), ["(401)", "Invalid API key", "KEY"]),
    "no api access": ((403, {}, b'{"detail": "Plan has no API"}'), ["(403)", "Plan has no API", "account's plan"]),
    "no credits": ((402, {}, b'{"detail": "Pay"}'), ["(402)", "no credits"]),
    "no user": ((422, {}, b'{"detail": [{"loc": ["header", "x-user-id"], "msg": "Field required"}]}'), ["USER_ID"]),
    "page": ((200, *PAGE), ["(200)", "HTML page", "api.base_url"]),
    "portal": ((511, *PAGE), ["(511)", "login"]),
    "redirect": ((302, {"Location": "https://portal.example/?t=s3cret"}, b""), ["(302)", "portal.example"]),
    "large": ((200, {}, b" " * 50_000_000), ["(200)", "larger than 20 MiB"]),
}
COMMANDS = [("catalog", "pull"), ("content", "list"), ("content", "get", "cnt_1")]


@pytest.mark.parametrize(
    ("name", "command"), [*((name, ("stats",)) for name in SERVERS), *(("wrong key", command) for command in COMMANDS)]
)
def test_a_server_gone_wrong(name: str, command: tuple[str, ...], project: Build, invoke: Run) -> None:
    """One clear error: the endpoint, the status, the words, and what to do; exit 1, no key, no traceback, no file."""
    answer, words = SERVERS[name]
    with Scripted(lambda *_: answer) as server:
        root = set_up(project, server.base_url)
        ended = invoke(*command, env={"WRITERZROOM_API_KEY": "sekret-123456"})
        as_json = invoke(*command, "--json") if name == "wrong key" else None
    assert (ended.code, ended.stdout, ended.stderr.count("error[api]")) == (1, "", 1)
    assert [word for word in ("\nhint: ", f"`GET {server.base_url}/", *words) if word not in ended.stderr] == []
    assert [word for word in ("Traceback", "sekret", "s3cret") if word in ended.stderr] == []
    if as_json is not None:
        assert (as_json.code, as_json.json["diagnostics"][0]["code"]) == (1, "api")
    assert not (root / "catalog.lock.json").exists()


@pytest.mark.parametrize("has", [True, False])
def test_superseded_copies_are_deleted_where_the_server_can(tmp_path: Path, *, has: bool) -> None:
    """The old copy alone, which is told apart from the one its item has; a server without the route is no success, whatever status it refuses with."""
    api = FakeApi(duration=5, create_only=True, put=False, auto_save=False, delete=has)
    harness = Harness(tmp_path, api).applied("tea")
    (path,) = harness.tree()
    harness.edit(path, "Closing", "The end")
    harness.apply()
    found = remote.contents(harness.project, runtime=harness.runtime())
    old, _ = sorted(found, key=lambda one: not one.superseded)
    assert (sorted(one.superseded for one in found), {one.item for one in found}) == ([False, True], {"tea"})
    said: list[str] = []
    telling = structs.replace(harness.runtime(), notify=said.append)
    if has:
        remote.delete(harness.project, [old.entry.id, "cnt_gone"], runtime=telling)
        assert said == [f"{old.entry.id}: deleted", "cnt_gone: deleted"]
    else:
        with pytest.raises(ApiError, match="DELETE"):
            remote.delete(harness.project, [old.entry.id], runtime=telling)
    left = [one.superseded for one in remote.contents(harness.project, runtime=harness.runtime())]
    assert sorted(left) == ([False] if has else [False, True])


def test_a_server_without_credits(tmp_path: Path) -> None:
    """Credits are shown where they are, and not missed where not."""
    harness = Harness(tmp_path, FakeApi())
    assert remote.stats(harness.project, runtime=harness.runtime()) == {
        "dashboard": {"total_content": 0},
        "credits": None,
    }


@pytest.mark.parametrize(("text", "shown"), [
    ("a\n\tb\n", "a\n\tb\n"), ("a\r\nb", "a\nb\n"), ("\x1b[2Jx\x07\n", "\\x1b[2Jx\\x07\n"), ("a\rb", "a\\rb\n"),
    ("\u202eevil", "\\u202eevil\n"), ("", "\n"),
])  # fmt: skip
def test_text_for_a_terminal(text: str, shown: str) -> None:
    """Lines and tabs stay; what a terminal would obey is shown instead."""
    assert harmless(text) == shown

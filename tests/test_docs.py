"""The documentation is true: its sessions run, its generated pages are fresh, and nothing a user meets is left out."""

import ast
import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from contentops.pages.app import ROUTES
from contentops.schema_files import load_schema
from tests import warm
from tests.console import blocks, run_page
from tests.models import Model, whole
from tests.postgres import Cluster, binaries
from tests.processes import Served

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
PAGES = list(dict.fromkeys(PAGES))
SOURCES = sorted((ROOT / "contentops").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.skipif(sys.platform == "win32", reason="the sessions are written for a POSIX shell")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks(page.read_text("utf-8")))], ids=_name
)
def test_sessions_do_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """Whoever types what a page shows sees what it shows."""
    work = tmp_path / "work"
    work.mkdir()
    ignored = shutil.ignore_patterns(".contentops", "out", "*.lock", ".gitattributes")
    shutil.copytree(ROOT / "examples", work / "examples", ignore=ignored)
    shutil.copytree(ROOT / "schemas", work / "schemas")
    text, environment = page.read_text("utf-8"), _environment(tmp_path)
    with contextlib.ExitStack() as held:
        if "postgresql" in _needs(text):
            environment |= _database(held.enter_context(Cluster()), tmp_path / "bin")
        if "server" in _needs(text):
            served = held.enter_context(Served(tmp_path / "serve.db"))
            text = text.replace("http://127.0.0.1:8787/v1", served.base_url)
        if "model" in _needs(text):
            model = held.enter_context(Model(whole))
            text = text.replace("http://127.0.0.1:11434/v1", model.base_url)
        run_page(text, tmp_path, environment)


def _needs(text: str) -> list[str]:
    """What has to run beside a page, as its first line says."""
    found = re.match(r"<!-- needs: (.+?) -->\n", text)
    return found[1].split(", ") if found else []


def _database(cluster: Cluster, commands: Path) -> dict[str, str]:
    """`psql`, and a database wherever a page says that one is."""
    (commands / "psql").symlink_to(binaries() / "psql")
    return {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(cluster.port)}


def _environment(folder: Path) -> dict[str, str]:
    commands = folder / "bin"
    commands.mkdir()
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, text in {"contentops": warm.script(), "python": python, "python3": python}.items():
        script = commands / name
        script.write_text(text)
        script.chmod(0o755)
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _IDENTITY.items()}
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    return {**os.environ, **identity, "PATH": path, "HOME": str(folder), "COLUMNS": "100"}


_IDENTITY = {"NAME": "Docs", "EMAIL": "docs@example.com", "DATE": "2026-01-01T00:00:00Z"}


def test_a_session_that_is_not_run_says_why() -> None:
    """A block is left out of the test for a reason that stands before it."""
    for page in PAGES:
        skipped = [block for block in blocks(page.read_text("utf-8")) if block.is_session and not block.runs]
        reasons = [re.fullmatch(r"<!-- not run: .{3,} -->", block.before) for block in skipped]
        assert [f"line {block.line}" for block, why in zip(skipped, reasons, strict=True) if why is None] == [], page


def test_relative_links_lead_somewhere() -> None:
    """A link to a file of the repository names one that is there, and a heading that is in it."""
    from docs.generate import site_pages

    texts = {page: page.read_text("utf-8") for page in PAGES}
    made = {one.source: one.text for one in site_pages()}
    texts |= {ROOT / "docs" / one.path: one.text for one in site_pages()}
    broken = [f"{_name(page)}: {target}" for page, text in texts.items() for target in _broken_links(page, text, made)]
    assert broken == []


def _broken_links(page: Path, text: str, made: Mapping[Path, str]) -> Iterator[str]:
    """Yield the links that lead nowhere. `made` has the text of the site's own pages, by what they are made from."""
    headings = text
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        written = headings if not name else made.get(linked)
        if written is None and linked.suffix == ".md" and linked.is_file():
            written = linked.read_text("utf-8")
        anchors = {fragment} if not fragment or written is None else _anchors(written)
        if (name and not linked.exists()) or fragment not in anchors:
            yield target


GUIDES = {"make-city-pages": "cities", "send-a-newsletter": "newsletter", "write-release-notes": "release-notes"}
"""The guides that quote an example, and the example; `adopt-a-blog` quotes none."""


@pytest.mark.parametrize("guide", [*GUIDES, "adopt-a-blog"])
def test_a_guide_is_short_has_a_picture_and_quotes_its_example(guide: str) -> None:
    """At most 600 words; each of its blocks of YAML and HTML is a part of a file of the example."""
    text = (ROOT / "docs/how-to" / f"{guide}.md").read_text("utf-8")
    files = [path for path in (ROOT / "examples" / GUIDES.get(guide, "blog")).rglob("*") if path.is_file()]
    written = ["\n".join(line.strip() for line in path.read_text("utf-8").splitlines()) for path in files]
    quoted = ["\n".join(line.strip() for line in one.lines) for one in blocks(text) if one.tags[0] in {"yaml", "html"}]
    assert (len(text.split()) <= 600, ".svg" in text or "<picture>" in text) == (True, True)
    assert [one for one in quoted if not any(one in file for file in written)] == []


def test_the_pictures_of_the_terminal_show_what_the_program_prints() -> None:
    """Drawn again, they are the same; a clock and a folder of a test are in none of them."""
    from docs.pictures import FOLDER, PICTURES, draw

    shown = {name: draw(shown(), name) for name, shown in PICTURES.items()}
    assert [name for name, text in shown.items() if (FOLDER / f"{name}.svg").read_text("utf-8") != text] == [], (
        "run `make pictures ARGS=terminal`"
    )


def test_each_page_of_the_review_has_pictures() -> None:
    """In light, in dark and on a phone: none is missing, left over or not linked, and each is as wide as its screen."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from docs.screenshots import FOLDER, LARGEST, PICTURES, SIZES

    wanted = {f"{name}-{screen}.png": size["width"] for name in PICTURES for screen, size in SIZES.items()}
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert {name: int.from_bytes(data[16:20], "big") for name, data in files.items()} == wanted
    assert [name for name, data in files.items() if len(data) > LARGEST] == []
    page = (ROOT / "docs/how-to/review-texts.md").read_text("utf-8")
    assert set(re.findall(r"\(review/(.+?)\)", page)) == set(wanted)
    shown = {path.partition("?")[0] for path in PICTURES.values()} | {f"/{name}" for name in PICTURES}
    assert ROUTES.keys() - shown == set()


def test_decisions_are_numbered_and_listed() -> None:
    """Numbers have no gaps; file, heading and list say the same of each decision."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert [page.name for page in pages if not page.read_text("utf-8").startswith(f"# {page.name[:4]}: ")] == []
    listed = re.findall(r"^\| \[(\d+)\]\((.+?)\) \|", (folder / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    assert listed == [(page.name[:4], page.name) for page in pages]


@pytest.mark.parametrize("schema", ["plan", "report", "event", "jobs", "lock", "approvals"])
def test_every_key_of_a_format_is_explained_in_its_schema(schema: str) -> None:
    """By a description of its own, or by that of what it refers to; the pages of state files have it from there."""
    document = load_schema(schema)
    described = {name for name, one in document.get("definitions", {}).items() if "description" in one}
    missing = [
        name
        for name, one in _keys(document)
        if "description" not in one and str(one.get("$ref", "")).rpartition("/")[2] not in described
    ]
    assert missing == (["verdict"] if schema == "approvals" else [])  # its values say it


def _keys(schema: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
        yield from _keys(inner) if name not in {"request", "inputs"} else ()
    nested = (*schema.get("anyOf", ()), *schema.get("definitions", {}).values(), schema.get("items"))
    for inner in nested:
        yield from _keys(inner) if isinstance(inner, dict) else ()


def test_every_room_is_in_the_architecture() -> None:
    """The table of rooms names each folder and module of the package, and none that does not exist."""
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Rooms")[2].partition("##")[0]
    rooms = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name.rstrip("/") for row in rooms for name in re.findall("`(.+?)`", row)}
    there = {
        path.name for path in (ROOT / "contentops").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert named == there - {"__init__.py"}


def test_the_architecture_names_what_exists() -> None:
    """Each test of its table of invariants, at most 40; each name of the table of changes, in one of its rooms."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    invariants, changes = text.partition("## Invariants")[2].split("## Where do I change")
    assert [name for name in re.findall(r"`(tests/.+?)`", invariants) if not (ROOT / name).is_file()] == []
    assert len(re.findall(r"^\| [a-z`]", invariants, flags=re.MULTILINE)) <= 40
    for row in re.findall(r"^\| [^|]+ \| (`.+?) \| (`.+?) \|", changes, flags=re.MULTILINE):
        rooms, names = (re.findall("`(.+?)`", cell) for cell in row)
        files = [path for room in rooms for path in (ROOT / "contentops" / room).rglob("*.py")]
        code = "\n".join(path.read_text("utf-8") for path in files)
        assert [name for name in names if not re.search(rf"\b(def|class) {name}\b", code)] == [], row


def test_the_recipes_name_files_that_exist() -> None:
    """Each file that CONTRIBUTING.md names, but a placeholder."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:contentops|tests|schemas|docs)/[\w/.-]+\.\w+)`", text)
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


def _anchors(text: str) -> set[str]:
    """The fragments GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *#*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_filter_is_explained_here_or_by_jinja() -> None:
    """The page of templates explains the filters that are not Jinja's; the results of its examples are made with it."""
    from jinja2.filters import FILTERS as JINJA

    from contentops.manifests.sandbox import sandbox
    from docs.template_reference import FILTERS, filters_of_jinja

    own = [name for names in FILTERS for name in names.split(", ")]
    assert set(own) <= set(sandbox().filters)
    assert [name for name in filters_of_jinja() if name not in JINJA] == []
    assert all(example.count(names.split(", ")[0]) for names, (_, example) in FILTERS.items())


def test_generated_pages_are_fresh() -> None:
    """What is made from the program is made from this program."""
    from docs.generate import stale

    assert stale() == [], "run `make docs`"


def _options(command: click.Command, path: str = "contentops") -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from ((path, name) for name in (*parameter.opts, *parameter.secondary_opts))
    if isinstance(command, click.Group):
        context = click.Context(command, help_option_names=["-h", "--help"])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _options(found, f"{path} {name}")


def _made(path: str) -> str:
    """The text of a page that only the site has."""
    from docs.generate import site_pages

    (found,) = [one.text for one in site_pages() if one.path == path]
    return found


def test_every_option_is_documented() -> None:
    """Each command has its section, and each of its options a line in it."""
    from contentops.cli.entry import cli

    text = _made("reference/cli.md")
    sections = dict(re.findall(r"^#+ `([^`]+)`\n(.*?)(?=^#|\Z)", text, flags=re.DOTALL | re.MULTILINE))
    missing = [
        f"{path} {name}"
        for path, name in _options(cli)
        if not re.search(rf"`{re.escape(name)}[ `]", sections.get(path, ""))
    ]
    assert missing == []


_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def _takes_code(nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    """What takes a `code` by its place: functions, and classes by their fields or their `__init__`."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            yield from _place_of_code(node.name, [one.arg for one in (*node.args.posonlyargs, *node.args.args)])
        elif isinstance(node, ast.ClassDef):
            fields = [getattr(line.target, "id", "") for line in node.body if isinstance(line, ast.AnnAssign)]
            yield from _place_of_code(node.name, fields)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    yield from _place_of_code(node.name, [one.arg for one in method.args.args])


def _place_of_code(name: str, parameters: list[str]) -> Iterator[tuple[str, int]]:
    if "code" in parameters:
        yield name, parameters.index("code") - (parameters[0] in {"self", "cls"})


def _literals(node: ast.expr | None) -> Iterator[str]:
    """The texts an expression can be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _literals(value)


def _codes(nodes: list[ast.AST], takers: set[tuple[str, int]]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call):
            yield from (text for word in node.keywords if word.arg == "code" for text in _literals(word.value))
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for place, argument in enumerate(node.args):
                if (called, place) in takers:
                    yield from _literals(argument)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and [getattr(t, "id", "") for t in line.targets] == ["code"]:
                    yield from _literals(line.value)


def used_codes() -> set[str]:
    """Every error code the program can print. The embedded server's own are the API's, not ours."""
    paths = [path for path in SOURCES if "server" not in path.relative_to(ROOT).parts]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found = {code for code in _codes(nodes, set(_takes_code(nodes))) if _CODE.fullmatch(code)}
    # These reach their message through a variable, or an error that a kind of error has for its own.
    return found | (
        {
            "bad-output",
            "no-manifests",
            "yaml-syntax",
            "reference-unclear",
            "unchecked-brand-voice",
            "unknown-part",
            "unknown-reference",
        }
        & constants
    )


def documented_codes() -> list[str]:
    """The error codes that the reference explains, without guards and the kinds in a plan."""
    from docs.error_reference import TABLES
    from docs.generate import error_texts

    return [code for group, codes in error_texts().items() if group not in TABLES for code in codes]


def test_every_error_code_is_documented() -> None:
    """Whoever meets a code finds what it means; a code that is gone is gone from the page."""
    used, documented = used_codes(), set(documented_codes())
    assert (sorted(used - documented), sorted(documented - used)) == ([], [])


def _kinds(tree: ast.AST, called: str, keyword: str, place: int) -> Iterator[str]:
    """What is given as `keyword`, or at `place`, where something is called; names stand for what is assigned to them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == called:
            given = [word.value for word in node.keywords if word.arg == keyword] or node.args[place : place + 1]
            yield from (text for value in given for text in (*_literals(value), getattr(value, "id", "")) if text)


@pytest.mark.parametrize(("called", "place", "group"), [
    ("Reason", 0, "Kinds of reasons"),
    ("Note", 0, "Kinds of notes"),
    ("block", 0, "Why an item is blocked"),
    ("block_change", 1, "Why an item is blocked"),
])  # fmt: skip
def test_every_kind_in_a_plan_is_documented(called: str, place: int, group: str) -> None:
    """Whoever reads a plan finds what its reasons, notes and blocks mean."""
    from docs.generate import error_texts

    trees = [ast.parse(path.read_text("utf-8")) for path in SOURCES if "planning" in path.parts]
    names = {
        line.targets[0].id: line.value.value
        for tree in trees
        for line in tree.body
        if isinstance(line, ast.Assign)
        and isinstance(line.targets[0], ast.Name)
        and isinstance(line.value, ast.Constant)
    }
    used = {str(names.get(kind, kind)) for tree in trees for kind in _kinds(tree, called, "kind", place)}
    used -= {"kind"}  # a parameter, whose values are counted where they are given
    assert used
    assert sorted(used - {kind for kinds in error_texts()[group] for kind in kinds.split(", ")}) == []


def test_no_error_code_is_documented_twice() -> None:
    """One section per code, each with at least a sentence."""
    from docs.generate import error_texts

    text = (ROOT / "docs/reference/errors.yaml").read_text("utf-8")
    codes = re.findall(r"^  ([a-z].*?):", text, flags=re.MULTILINE)
    assert len(codes) == sum(len(texts) for texts in error_texts().values())
    codes = documented_codes()
    assert sorted(codes) == sorted(set(codes))
    assert re.findall(r"^(#{2,4} `.+)\n\s*(?=#|\Z)", _made("reference/errors.md"), flags=re.MULTILINE) == []


_VARIABLE = re.compile(r"(?:WRITERZROOM|CONTENTOPS)_[A-Z_]+[A-Z]")


def test_every_environment_variable_is_documented() -> None:
    """A variable the program knows by name is in the reference."""
    used = {name for path in SOURCES for name in _VARIABLE.findall(path.read_text("utf-8"))}
    pages = (ROOT / "docs/reference").glob("*.md")
    documented = {name for page in pages for name in _VARIABLE.findall(page.read_text("utf-8"))}
    assert sorted(used - documented - {"CONTENTOPS_COMPLETE"}) == []

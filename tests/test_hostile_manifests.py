"""Hostile and broken projects through the whole command line: a clear error, exit code 1, nothing outside touched."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from contentops.yaml.read import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Completed, Run

SETTINGS = """\
version: 1
project: acme-blog
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
INPUTS = "inputs: {topic: T, target_audience: readers}"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _item(id_: str = "one", **fields: str) -> str:
    own = "".join(f"    {key}: {value}\n" for key, value in fields.items())
    return f"items:\n  - id: {id_}\n    {INPUTS}\n{own}"


def _survey(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
        for parent, _, names in os.walk(folder)
        for path in (os.path.join(parent, name) for name in names)  # noqa: PTH118 - walked with bytes-safe os
    }


def _refused(build: Build, invoke: Run, files: dict[str, str | bytes]) -> Completed:
    """Applies a project below an outer folder; it has to fail cleanly and to leave everything as it was."""
    root = build({"contentops.yaml": SETTINGS, **files}, at="outer/project")
    (root.parent / "outside.txt").write_text("not ours\n")
    before = _survey(root.parent)
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == 1, ended.stdout + ended.stderr
    assert "error[" in ended.stderr
    assert "error[bug]" not in ended.stderr
    assert not CONTROLS.search(ended.stdout + ended.stderr)
    assert len(ended.stderr) < 100_000
    after = {path: seen for path, seen in _survey(root.parent).items() if "/.contentops/" not in path}
    assert after == before
    return ended


_LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(10))

YAML: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (f"{_LAUGHS}items: *a9\n", "alias"),
    "deep nesting": (f"items: {'[' * 20_000}\n", "content/blog.yaml"),
    "python object": ('items: !!python/object/apply:os.system ["touch ../outside.txt"]\n', "content/blog.yaml:1:8"),
    "escape character": (b"items:\n  - id: a\x1b[2Jb\n", "content/blog.yaml"),
    "surrogate": (_item('"a\\ud800"'), "content/blog.yaml:2:"),
    "infinity": (_item(metadata="{n: .inf}"), "content/blog.yaml:4:"),
}


@pytest.mark.parametrize(("text", "says"), YAML.values(), ids=YAML)
def test_hostile_yaml(project: Build, invoke: Run, text: str | bytes, says: str) -> None:
    """No bomb, tag or odd character gets further than its message."""
    assert says in _refused(project, invoke, {"content/blog.yaml": text}).stderr


def test_a_huge_manifest(project: Build, invoke: Run) -> None:
    """It is refused by its size alone: what is wrong in it is not read."""
    ended = _refused(project, invoke, {"content/blog.yaml": b"items: {\n# " + b"x" * MAX_BYTES + b"\n"})
    assert "error[file-too-large]: the file is larger than 64 MiB\n  --> content/blog.yaml:1:1\n" in ended.stderr
    assert ended.stderr.count("error[") == 1


PATHS = [
    "../outside.txt", "/tmp/outside.txt", "C:/outside.txt", "out\\\\..\\\\outside.txt", ".git/hooks/post-checkout",
    ".contentops/journal.jsonl", "content/blog.yaml", "CONTENT/Blog.yaml", "data/rows.csv", "contentops.lock",
    "out/a\\e[2J.md", f"out/{'x' * 300}.md", "out/{{ '../' * 3 }}x.md",
]  # fmt: skip
"""One for each way to be refused; `test_check.py` has all the others."""


@pytest.mark.parametrize("path", PATHS, ids=[path[:40] or "empty" for path in PATHS])
def test_where_no_output_may_go(project: Build, invoke: Run, path: str) -> None:
    """Outside, into tools' own folders, over the project's own files: refused with the place of the path."""
    files: dict[str, str | bytes] = {
        "content/blog.yaml": "items:\n"
        "  - id: 'row-{{ each.slug }}'\n    for_each: data/rows.csv\n"
        f'    {INPUTS}\n  - id: one\n    {INPUTS}\n    output: "{path}"\n',
        "data/rows.csv": "slug\na\n",
    }
    # Of a path taken already, the item is shown; of an impossible one, the path itself.
    assert re.search(r"--> content/blog\.yaml:[57]:", _refused(project, invoke, files).stderr)


def test_a_link_does_not_lead_out(project: Build, invoke: Run) -> None:
    """An output folder that is a link out of the project takes nothing; the other items are written."""
    root = project(
        {"contentops.yaml": SETTINGS, "content/blog.yaml": _item(output="linked/one.md")}, at="outer/project"
    )
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (root / "linked").symlink_to(outside)
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code in {1, 3}, ended.stdout
    assert "link" in ended.stdout + ended.stderr
    assert list(outside.iterdir()) == []


TEMPLATES = [
    "{{ cycler.__init__.__globals__.os.popen('touch ../outside.txt') }}",
    "{{ 'a' * 10000000000 }}",
    "{% include '/etc/passwd' %}",
    "{{ unclosed",
]


@pytest.mark.parametrize("template", TEMPLATES, ids=[template[:40] for template in TEMPLATES])
def test_hostile_templates(project: Build, invoke: Run, template: str) -> None:
    """No attribute of Python, no file, no endless work; `test_render.py` has all the others."""
    text = f'items:\n  - id: one\n    inputs:\n      target_audience: readers\n      topic: "{template}"\n'
    assert "content/blog.yaml:5:" in _refused(project, invoke, {"content/blog.yaml": text}).stderr


ROWS = "items:\n  - id: 'row-{{ each.slug }}'\n    for_each: FILE\n    inputs: {topic: '{{ each.city }}', target_audience: x}\n"

DATA: dict[str, tuple[str, str | bytes]] = {
    "outside": ("../outside.txt", ""),
    "absolute": ("/etc/passwd", ""),
    "empty": ("data/rows.csv", b""),
    "NUL": ("data/rows.csv", b"slug,city\na,\0\n"),
    "escape character": ("data/rows.csv", b"slug,city\na\x1b[2J,A\n"),
    "UTF-16 cut": ("data/rows.csv", "slug,city\na,A\n".encode("utf-16")[:-1]),
    "workbook cut": ("data/rows.xlsx", b"PK\x03\x04\x1b[2J"),
    "same id": ("data/rows.csv", "slug,city\na,A\na,B\n"),
    "JSON deep": ("data/rows.json", "[" * 50_000),
    "traversal in a cell": ("data/rows.csv", "slug,city\n../../x,A\n"),
}


@pytest.mark.parametrize(("name", "content"), DATA.values(), ids=DATA)
def test_hostile_data(project: Build, invoke: Run, name: str, content: str | bytes) -> None:
    """Whatever a data file holds, its name and the reason are told."""
    files: dict[str, str | bytes] = {"content/blog.yaml": ROWS.replace("FILE", name), "data/keep.csv": "slug\n"}
    if content or name == "data/rows.csv":
        files[name] = content
    ended = _refused(project, invoke, files)
    assert name in ended.stderr or "content/blog.yaml:" in ended.stderr


@pytest.mark.parametrize(
    ("find", "put", "codes"),
    [
        ("out/one.md", "../outside.txt", {1, 3}),
        ("out/one.md", "/tmp/outside.txt", {1, 3}),
        ("out/one.md", ".git/config", {1, 3}),
        ('"one"', '"o\\u001b[2Jne"', {0, 1}),
        ('"contentops_lock":2', '"contentops_lock":99', {1}),
        ("sha256:", "md5:", {0, 1, 3}),
        ('"rev":1', '"rev":1e400', {1}),
        ("\n", "\n<<<<<<< HEAD\n", {1}),
        ("\n", "\n{\n", {1}),
    ],
    ids=["outside", "absolute", "git", "escape", "newer", "digest", "number", "conflict marker", "cut line"],
)
def test_a_lock_that_someone_tampered_with(project: Build, invoke: Run, find: str, put: str, codes: set[int]) -> None:
    """A lock is no more trusted than a manifest: no file outside is moved, read into the plan or removed."""
    root = project({"contentops.yaml": SETTINGS, "content/blog.yaml": _item()}, at="outer/project")
    assert invoke("apply", "--yes", cwd=root).code == 0
    outside = root.parent / "outside.txt"
    outside.write_text("not ours\n")
    lock = root / "contentops.lock"
    lock.write_text(lock.read_text().replace(find, put))
    (root / "content" / "blog.yaml").write_text("items: []\n")
    ended = invoke("apply", "--yes", "--prune", "--approve-empty", "--approve-changes", cwd=root)
    assert ended.code in codes, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not CONTROLS.search(ended.stdout + ended.stderr)
    assert outside.read_text() == "not ours\n"


@pytest.mark.parametrize(
    ("occupied", "code"),
    [("out", 3), ("out/one.md/", 3), ("contentops.lock/", 1), (".contentops", 1), (".contentops/journal.jsonl/", 1)],
)
def test_something_else_is_in_the_way(project: Build, invoke: Run, occupied: str, code: int) -> None:
    """A file where a folder belongs, or the other way round: told by name before anything is submitted."""
    root = project({"contentops.yaml": SETTINGS, "content/blog.yaml": _item()})
    if occupied.endswith("/"):
        (root / occupied).mkdir(parents=True)
    else:
        (root / occupied).write_text("someone's\n")
    ended = invoke("apply", "--yes", cwd=root)
    assert ended.code == code, ended.stdout + ended.stderr
    assert occupied.rstrip("/") in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert "submitted" not in ended.stderr

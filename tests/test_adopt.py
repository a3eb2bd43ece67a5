"""Files that are there before contentops become items: no byte of theirs changes, and the plan is empty afterwards."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.preset import PRESETS
from contentops.manifests.declare import literal
from contentops.manifests.templates import Templates
from contentops.operations.adopt import Options, adopt
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.fakes.kills import EachKill
from tests.running import Build, Run
from tests.test_approving import in_git

SETTINGS = "version: 1\nproject: acme\napi: {base_url: local}\n"
HELLO = "---\ntitle: Hello\ndate: 2024-01-01\ntags: [a, b]\n---\n\n# Hello\n"


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / "docs").rglob("*") if path.is_file()}


def _lock(root: Path) -> str:
    return (root / "contentops.lock").read_text()


def _manifest(root: Path) -> str:
    return (root / "content/adopted.yaml").read_text()


def _is_empty(invoke: Run, root: Path, *flags: str) -> bool:
    """Whether there is nothing to do, and the manifests have no errors."""
    valid = invoke("validate", cwd=root)
    assert (valid.code, valid.stderr) == (0, "")
    return invoke("plan", "--detailed-exitcode", *flags, cwd=root).code == 0


FILES: dict[str, str | bytes] = {
    "plain": "# Plain\n\nText.\n", "empty": "", "blank-lines": "\n\n\n", "no-final-newline": "Text",
    "crlf": b"---\r\ntitle: Hello\r\nx: 1\r\n---\r\nBody\r\n", "bom": b"\xef\xbb\xbf---\ntitle: Hello\n---\nBody\n",
    "jinja": "---\ntitle: 'Hi {{ name }} {% raw %}'\nx: '{# c #} {{'\ny: ['{{ a }}', {k: '{{{%'}]\n---\n{{ body }}\n",
    "jinja-key": "---\n'{{ a }}': 1\nb: {'{{ c }}': 2}\n---\nBody\n",
    "dates": "---\ndate: 2024-01-01\nat: 2024-01-01T10:00:00Z\ntime: 10:30\n---\nBody\n",
    "booleans": "---\ndraft: no\npublish: Yes\non: true\nlist: [y]\n---\nBody\n",
    "numbers": "---\na: 1.10\nb: 012\nc: 0x1F\nd: .inf\ne: 1e400\nf: 123456789012345678901234567890\n---\nBody\n",
    "nulls": "---\na:\nb: ~\nc: {d: null, e: [null]}\nf: [~]\n---\nBody\n",
    "anchors": "---\na: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n---\nBody\n",
    "multi-line": '---\na: |\n  one\n  two\nb: >-\n  three\n  four\nc: "x\\ty"\n---\nBody\n',
    "odd-keys": "---\n1: one\ntrue: two\n'': three\na b: four\n{}: 5\n---\nBody\n".replace("{}: 5\n", ""),
    "number-title": "---\ntitle: 1984\n---\nBody\n", "spaced-title": "---\ntitle: 'a   b '\n---\nBody\n",
    "empty-title": "---\ntitle:\n---\nBody\n",
    "foreign-block": "---\ncontentops: {item: other, digest: x}\ntitle: T\n---\nBody\n",
    "rule": "---\n\nno front matter, but a rule\n",
    "archetype": "---\ntitle: {{ replace .Name }}\n---\nA file that a generator fills in.\n",
    "brace-body": "{{< shortcode >}}\n\nText\n", "invisible": '---\na: "\\x07\\u0085\\u2028\\ufeff"\n---\nBody\n',
}  # fmt: skip
REFUSED = {"archetype", "rule"}


def test_files_of_every_kind_are_adopted_as_they_are(project: Build, invoke: Run) -> None:
    """No byte changes, the manifests are valid, the plan is empty, and a second time there is nothing to do."""
    root = project({"contentops.yaml": SETTINGS, **{f"docs/{name}.md": text for name, text in FILES.items()}})
    before = _files(root)
    ended = invoke("adopt", "docs", "--yes", "--json", cwd=root)
    assert {one["path"] for one in ended.json["taken"]} == {f"docs/{name}.md" for name in FILES.keys() - REFUSED}
    assert ended.code == 3
    assert _is_empty(invoke, root)
    lock, manifest = _lock(root), _manifest(root)
    again = invoke("adopt", "docs", "--yes", cwd=root)
    assert again.stdout.startswith(f"{len(FILES) - 2} texts already belonging to items, 2 refused.")
    assert (_lock(root), _manifest(root), _files(root)) == (lock, manifest, before)
    assert (invoke("apply", "--yes", cwd=root).code, _lock(root), _files(root)) == (0, lock, before)
    assert {one["state"] for one in invoke("status", "--json", cwd=root).json["items"]} == {"adopted"}
    assert invoke("diff", "docs/plain", cwd=root).stdout == "No difference.\n"


def test_an_edit_of_an_adopted_text_is_seen(project: Build, invoke: Run, processes: None) -> None:
    """By `diff`, `status` and selectors, against the text that was adopted; a lock that does not know that one has none."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": HELLO, "docs/b.md": HELLO})
    assert invoke("adopt", "docs", "--yes", cwd=root).code == 0
    (root / "docs/a.md").write_text(HELLO + "\nMore.\n")
    selected = invoke("status", "--select", "state:edited", "--json", cwd=root).json["items"]
    assert [(one["id"], one["state"]) for one in selected] == [("docs/a", "edited")]
    assert invoke("diff", "docs/a", cwd=root).stdout.startswith("--- docs/a (adopted)\n+++ docs/a (file)\n")
    assert invoke("diff", "docs/a", "--json", cwd=root).json["adopted"] == "# Hello\n"
    (root / "contentops.lock").write_text(re.sub(r'"adopted":"[^"]*",', "", _lock(root)))
    assert {one["state"] for one in invoke("status", "--json", cwd=root).json["items"]} == {"adopted"}
    assert "was adopted" in invoke("diff", "docs/a", cwd=root).stderr


def test_preset_words_are_not_declared_where_they_would_come_out_otherwise(project: Build, invoke: Run) -> None:
    """A text of tags that the preset makes a list, a key that it renames, a flag that it turns."""
    text = "---\ntitle: a\\b\ntags: one two\nupdated: 2024\ndraft: true\nlayout: post\n---\nBody\n"
    for preset in PRESETS:
        root = project({"contentops.yaml": f"{SETTINGS}preset: {preset}\n", "_posts/a.md": text}, at=preset)
        assert invoke("adopt", "_posts", "--yes", cwd=root).code == 0
        assert _is_empty(invoke, root)
        assert "layout: post" in _manifest(root)


@pytest.mark.parametrize(("name", "content", "words"), [
    ("docs/a.md", b"\xff\xfe\x00", "is not UTF-8"),
    ("docs/a.md", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    ("docs/a.md", "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n", "conflict markers"),
    ("docs/a.md", "Body\n\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n", "--> docs/a.md:3:1"),
    ("docs/a.md", "---\na: [\n---\nBody\n", "front matter"),
    ("docs/a.md", "---\ntitle: a\na: 1\na: 2\n---\nBody\n", "--> docs/a.md:4:1"),
    ("docs/a.md", "---\ntitle: a\n\tb: 1\n---\nBody\n", "--> docs/a.md:3:1"),
    ("docs/a.md", '+++\ntitle = "x"\n+++\nBody\n', "TOML"), ("docs/a.md", '{\n  "title": "x"\n}\n\nBody\n', "JSON"),
    ("docs/.hidden/a.md", "Body\n", "starts with a dot"), ("docs/a:b.md", "Body\n", "Windows"),
    ("content/notes.yaml", "items: []\n", "read by the manifests"),
])  # fmt: skip
def test_a_file_that_cannot_be_taken_is_named_and_the_others_go_on(
    project: Build, invoke: Run, name: str, content: str | bytes, words: str
) -> None:
    """Exit code 3, and the line where an editor opens the finding; what is refused is not declared."""
    root = project({"contentops.yaml": SETTINGS, "docs/good.md": HELLO, name: content})
    before = _files(root)
    ended = invoke("adopt", name, "docs/good.md", "--yes", cwd=root)
    assert (ended.code, "error[not-adopted]" in ended.stderr, words in ended.stderr) == (3, True, True)
    assert ended.stdout.startswith("1 text adopted (protected, as no template is known)")
    assert _files(root) == before
    assert _is_empty(invoke, root)


def test_toml_is_refused_with_the_command_that_converts_it(project: Build, invoke: Run) -> None:
    """A new site of Hugo has nothing else; all files are named, and counted, and the command is said once."""
    files = {f"docs/{name}.md": f'+++\ntitle = "{name}"\n+++\nBody\n' for name in "abc"}
    ended = invoke("adopt", "docs", cwd=project({"contentops.yaml": SETTINGS, **files}))
    assert (ended.code, ended.stderr.count("error[not-adopted]"), "3 refused" in ended.stdout) == (3, 3, True)
    assert ended.stderr.count("`hugo convert toYAML --unsafe` writes the front matter of the whole site") == 1


def test_links_strangers_and_what_is_not_there_are_named(project: Build, invoke: Run) -> None:
    """A link, a path outside, a folder without Markdown, a glob that matches nothing."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": HELLO, "data/x.csv": "a\n"})
    (root.parent / "outside.md").write_text("not ours\n")
    (root / "docs/link.md").symlink_to(root.parent / "outside.md")
    ended = invoke("adopt", "docs", "../outside.md", "data", "posts/*.md", "none.md", "--yes", cwd=root)
    assert ended.code == 3
    said = ("symbolic link", "outside the project", "`data` contains no", "`posts/*.md` contains no", "does not exist")
    assert [words for words in said if words not in ended.stderr] == []
    assert "outside" not in _manifest(root)


def test_files_of_another_environment_and_of_a_gone_item_are_refused(project: Build, invoke: Run) -> None:
    """A path has one owner."""
    settings = f"{SETTINGS}environments: {{prod: {{}}}}\n"
    root = project({"contentops.yaml": settings, "docs/a.md": HELLO})
    assert invoke("adopt", "docs", "--yes", "--env", "prod", cwd=root).code == 0
    assert "belongs to `contentops.prod.lock`" in invoke("adopt", "docs", "--yes", cwd=root).stderr
    (root / "content/adopted.yaml").write_text("items: []\n")
    assert "the record of `docs/a`" in invoke("adopt", "docs", "--yes", "--env", "prod", cwd=root).stderr


def test_colliding_names_are_refused_by_name(project: Build, invoke: Run) -> None:
    """Two paths that one file system takes for one, and two files that would have one id."""
    files = {"docs/a.md": "1\n", "docs/A.md": "2\n", "docs/b c.md": "3\n", "docs/b-c.md": "4\n"}
    root = project({"contentops.yaml": SETTINGS, **files})
    if len(list((root / "docs").iterdir())) < len(files):
        pytest.skip("this file system takes `A` and `a` for one")
    ended = invoke("adopt", "docs", "--yes", cwd=root)
    assert ended.code == 3
    assert "`docs/a.md` differs from `docs/A.md` only in case or accents" in ended.stderr
    assert "`docs/b-c.md` would get the id `docs/b-c`, which another item has" in ended.stderr
    (root / "docs/b-c.md").rename(root / "docs/b-c-2.md")
    assert invoke("adopt", "docs/b-c-2.md", "--yes", cwd=root).code == 0
    assert _is_empty(invoke, root)


def test_flags_and_a_map_make_items_that_can_be_generated(project: Build, invoke: Run) -> None:
    """A later change of the request is an edit like any other: blocked, until a person says what is to be done."""
    mapping = "id: slug\nstyle: voice\ninputs: {topic: title, seo_keywords: tags}\nmetadata: [title]\n"
    told = "---\ntitle: 'On {{ x }}'\nslug: my post\nvoice: technical_dive\ntags: [a]\n---\nBody\n"
    root = project({"contentops.yaml": SETTINGS, "map.yaml": mapping, "docs/a.md": told, "docs/b.md": "Body\n"})
    flags = ["--template", "blog_article_generator", "--style", "general_blog", "--input", "target_audience=people"]
    ended = invoke("adopt", "docs", "--map", "map.yaml", *flags, "--yes", "--json", cwd=root)
    assert [(one["id"], one["generates"]) for one in ended.json["taken"]] == [("my-post", True), ("docs/b", False)]
    assert "does not set `topic`" in ended.stderr
    assert _is_empty(invoke, root)
    shown = invoke("show", "my-post", "--json", cwd=root).json
    assert shown["request"]["style"] == "technical_dive"
    assert shown["request"]["inputs"] == {"target_audience": "people", "topic": "On {{ x }}", "seo_keywords": ["a"]}
    changed = _manifest(root).replace("target_audience: people", "target_audience: experts")
    (root / "content/adopted.yaml").write_text(changed)
    plan = invoke("plan", "--json", cwd=root).json
    assert [(one["action"], one["blocked"]) for one in plan["changes"]] == [("blocked", "edited")]


@pytest.mark.parametrize(("flags", "code", "words"), [
    (["--template", "blog_article"], 64, "there is no template"), (["--style", "x"], 64, "there is no style"),
    (["--map", "bad.yaml"], 1, "unknown key"), (["--map", "none.yaml"], 1, "cannot be read"),
    (["--into", "elsewhere.yaml"], 64, "looks for manifests"),
    (["--into", "content/mine.yaml"], 64, "nothing can be added"),
    (["--into", "content/../../x.yaml"], 64, "looks for manifests"),
    (["--into", "content/.hidden.yaml"], 64, "looks for manifests"),
    (["--input", "x"], 64, "NAME=VALUE"),
    (["--into", "content/linked/x.yaml"], 1, "no output or manifest is written through one"),
])  # fmt: skip
def test_a_wrong_flag_is_named_and_nothing_is_written(
    project: Build, invoke: Run, flags: list[str], code: int, words: str
) -> None:
    """Neither manifest nor lock."""
    mine = "items: []\n# mine\nvars: {}\n"
    files = {"contentops.yaml": SETTINGS, "bad.yaml": "topic: title\n", "content/mine.yaml": mine}
    root = project({**files, "docs/a.md": HELLO, "docs/b.md": HELLO})
    (root / "content/linked").symlink_to(root / "docs")
    ended = invoke("adopt", "docs", *flags, "--yes", cwd=root)
    assert (ended.code, words in ended.stderr) == (code, True)
    assert not (root / "contentops.lock").exists()
    assert (root / "content/mine.yaml").read_text() == mine
    assert {path.name for path in (root / "content").iterdir()} == {"linked", "mine.yaml"}
    assert {path.name for path in (root / "docs").iterdir()} == {"a.md", "b.md"}


@pytest.mark.parametrize("indent", ["", "  ", "    "])
def test_entries_are_added_behind_a_persons_lines(project: Build, invoke: Run, indent: str) -> None:
    """Every byte that was there stays, in the file's line endings."""
    mine = f"vars: {{x: 1}}\nitems:\n{indent}# mine\n{indent}- id: one\n{indent}  protected: true\n{indent}  save: false\n{indent}  output: one.md"
    mine = mine.replace("\n", "\r\n")
    mine_too = {"content/mine.yaml": mine.encode()}
    root = project({"contentops.yaml": SETTINGS, **mine_too, "one.md": "One\n", "docs/a.md": HELLO})
    assert invoke("adopt", "docs", "one.md", "--into", "content/mine.yaml", "--yes", cwd=root).code == 0
    whole = (root / "content/mine.yaml").read_bytes().decode()
    assert whole.startswith(mine + "\r\n" + indent + "- id: docs/a\r\n")
    assert "\n" not in whole.replace("\r\n", "")
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0


def test_a_second_adopt_adds_to_the_first_ones_manifest(project: Build, invoke: Run) -> None:
    """The default place is where the project looks, whatever its globs."""
    for glob, place in {
        "content/**/*.yaml": "content/adopted.yaml",
        "*.cont.yml": "",
        "m/*.yml": "m/adopted.yml",
    }.items():
        settings = f"{SETTINGS}manifests: ['{glob}']\n"
        root = project({"contentops.yaml": settings, "docs/a.md": HELLO, "docs/b.md": HELLO}, at=glob[0])
        ended = invoke("adopt", "docs/a.md", "--yes", cwd=root)
        assert ended.code == (0 if place else 64)
        if place:
            assert invoke("adopt", "docs/*.md", "--yes", cwd=root).code == 0
            assert (root / place).read_text().count("- id:") == 2
            assert _is_empty(invoke, root)


def test_check_prints_and_writes_nothing_and_without_a_yes_neither(project: Build, invoke: Run) -> None:
    """What is printed is what would be written."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": HELLO})
    shown = invoke("adopt", "docs", "--check", cwd=root)
    assert shown.code == 0
    refused = invoke("adopt", "docs", cwd=root)
    assert (refused.code, "not-confirmed" in refused.stderr) == (4, True)
    assert refused.stderr.startswith("  + docs/a.md  (docs/a, protected)\ninto content/adopted.yaml\n")
    assert not (root / "content").exists()
    assert not (root / "contentops.lock").exists()
    assert (invoke("adopt", "docs", "--yes", cwd=root).code, shown.stdout) == (0, _manifest(root))


@pytest.mark.parametrize(
    ("rule", "front", "marked"),
    [("required", "", True), ("{publish: true}", "", True), ("required", "draft: true\n", False), ("off", "", False)],
)
def test_the_plan_names_texts_that_become_drafts(
    project: Build, invoke: Run, rule: str, front: str, marked: bool, processes: None
) -> None:
    """Where the rule is there and the mark is not; approved before the next apply, they stay as they are."""
    text = HELLO.replace("---\n", f"---\n{front}", 1)
    root = project({"contentops.yaml": f"{SETTINGS}defaults: {{approval: {rule}}}\n", "docs/a.md": text})
    assert invoke("adopt", "docs", "--yes", cwd=root).code == 0
    assert _is_empty(invoke, root) != marked
    assert ("docs/a" in invoke("plan", cwd=root).stdout) == marked
    if rule == "required" and marked:
        in_git(root)
        assert invoke("approve", "docs/a", cwd=root).code == 0
        assert _is_empty(invoke, root)
        assert (root / "docs/a.md").read_text() == text


def test_a_declared_item_takes_the_file_that_is_there(project: Build, invoke: Run) -> None:
    """Its request counts as answered, its front matter is what the manifest says, nothing is generated."""
    item = (
        "items:\n  - id: a\n    output: docs/a.md\n    template: blog_article_generator\n    style: general_blog\n"
        "    save: false\n    inputs: {topic: T, target_audience: x}\n    metadata: {date: 2024-01-01, tags: [new]}\n"
    )
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": item, "docs/a.md": HELLO})
    blocked = invoke("plan", cwd=root)
    assert "`contentops adopt docs/a.md` adopts it unchanged" in " ".join(blocked.stdout.split())
    assert invoke("adopt", "docs/a.md", "--yes", cwd=root).code == 0
    assert not (root / "content/adopted.yaml").exists()
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0
    record: dict[str, Any] = invoke("show", "a", "--json", cwd=root).json["record"]
    assert (record["generated"], record["saved"], record["metadata"]) == ("", None, {"date": "2024-01-01"})


def test_an_item_without_a_template_is_never_generated(project: Build, invoke: Run) -> None:
    """Whatever is asked for; and lifting the protection asks for a template."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": HELLO})
    assert invoke("adopt", "docs", "--yes", cwd=root).code == 0
    (root / "content/adopted.yaml").write_text(_manifest(root).replace("    save: false\n", ""))
    assert invoke("apply", "--yes", cwd=root).code == 0
    for flags in (["--replace", "docs/a"], ["--on-edit", "overwrite"], ["--prune"]):
        assert _is_empty(invoke, root, *flags)
    (root / "docs/a.md").unlink()
    for flags in ([], ["--replace", "docs/a"], ["--on-edit", "overwrite"]):
        plan = invoke("plan", "--json", *flags, cwd=root).json
        assert [one["action"] for one in plan["changes"]] in (["restore"], ["blocked"])
        assert plan["changes"][0]["credits"] == 0
    # Another clone, with an embedded server of its own: there the text is nowhere.
    (root / ".contentops/local.db").unlink()
    plan = invoke("plan", "--json", cwd=root).json
    assert all("submit" not in step for one in plan["changes"] for step in one["steps"])
    (root / "contentops.lock").unlink()
    assert "cannot be generated" in " ".join(invoke("plan", cwd=root).stdout.split())
    (root / "content/adopted.yaml").write_text(_manifest(root).replace("protected: true", "protected: false"))
    lifted = invoke("plan", cwd=root)
    assert (lifted.code, "has no `template`" in lifted.stderr) == (1, True)
    assert "only items with `protected: true` may leave it out" in " ".join(lifted.stderr.split())


def test_items_without_a_template_are_told_apart_by_their_files(project: Build, invoke: Run) -> None:
    """All ask for the same, nothing: one that is gone gives its file to a new id at the same path, and to no other."""
    root = project({"contentops.yaml": SETTINGS, "docs/a.md": "A\n", "docs/b.md": "B\n"})
    assert invoke("adopt", "docs/a.md", "--yes", cwd=root).code == 0
    manifest = _manifest(root)
    (root / "content/adopted.yaml").write_text(manifest.replace("docs/a", "docs/b"))
    plan = invoke("plan", "--json", cwd=root).json
    assert [one["blocked"] for one in plan["changes"]] == ["foreign-file"]
    (root / "content/adopted.yaml").write_text(manifest.replace("id: docs/a", "id: letter\n    output: docs/a.md"))
    assert (invoke("apply", "--yes", cwd=root).code, '"id":"letter"' in _lock(root)) == (0, True)
    assert (root / "docs/a.md").read_text() == "A\n"


def test_an_item_with_a_job_under_way_takes_no_file(tmp_path: Path) -> None:
    """What was paid for comes first; a renamed item is known by its file."""
    harness = Harness(tmp_path, FakeApi(duration=10_000), extra="")
    harness.write("content/a.yaml", blog("tea"))
    harness.apply()
    assert harness.open_job("tea").job_id
    harness.write("out/tea.md", "A person's.\n")
    found = adopt(harness.project, ["out"], Options(), confirm=lambda _: True, runtime=harness.runtime())
    assert ["has a job under way" in one.message for one in found.findings] == [True]
    assert not harness.state.records
    harness.api.habits.duration = 1
    harness.write("content/b.yaml", blog("milk").replace("{topic", "{topic"))
    harness.apply(select=("milk",))
    harness.write("content/b.yaml", "moved: [{from: milk, to: cocoa}]\n" + blog("cocoa"))
    known = adopt(harness.project, ["out/milk.md"], Options(), confirm=lambda _: True, runtime=harness.runtime()).known
    assert [one.id for one in known] == ["cocoa"]


def test_a_stop_anywhere_is_finished_by_the_same_command(tmp_path: Path, each_kill: EachKill) -> None:
    """Whatever was durable by then: the second run ends like one that was never stopped."""
    harness = Harness(tmp_path / "whole")
    for name in ("a", "b"):
        harness.write(f"docs/{name}.md", HELLO)

    def take(one: Harness) -> None:
        adopt(one.project, ["docs"], Options(), confirm=lambda _: True, runtime=one.runtime())

    stops = each_kill(harness, tmp_path / "stopped", lambda: take(harness))
    assert len(stops) > 3
    wanted = {path: data for path, (data, _) in harness.bytes().items()}
    for where, stopped in stops.items():
        take(stopped)
        assert {path: data for path, (data, _) in stopped.bytes().items()} == wanted, where
        assert stopped.plan().empty, where


@given(st.text(alphabet="{}%# '\"\\-abraw\n"))
def test_a_literal_renders_back_to_itself(text: str) -> None:
    """Whatever looks like Jinja in it."""
    written = literal(text)
    made = Templates().get(written).render(lambda _name: None) if "{" in written else written
    assert made == text

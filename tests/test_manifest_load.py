import json
import os
from pathlib import Path

import pytest

from contentops.errors import Location, Severity, UsageError
from contentops.manifests.declare import with_input
from contentops.manifests.discover import FileError, ProjectFiles, glob_matcher
from contentops.manifests.values import Problems, Written
from contentops.reporting.diagnostics import diagnostics_text
from contentops.reporting.layout import unpainted
from tests.desired import PROJECT, declared, desired, findings, lines
from tests.running import Build, Run

CASES = Path(__file__).parent / "manifests"
UPDATE = bool(os.environ.get("UPDATE_CASES"))
ONE = "items: [{id: one, inputs: {topic: x}}]\n"


def compare(path: Path, given_back: str) -> None:
    """The case's expected text is what came out; rewritten first where that is asked for."""
    if UPDATE:
        path.write_text(given_back, encoding="utf-8")
    assert given_back == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("manifest", sorted((CASES / "valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_valid_manifests(project: Build, manifest: Path) -> None:
    """Each valid manifest becomes exactly the items written beside it."""
    files = {f"data/{path.name}": path.read_bytes() for path in (CASES / "valid" / "data").iterdir()}
    root = project({"contentops.yaml": PROJECT, f"content/{manifest.name}": manifest.read_bytes(), **files})
    result = desired(root)
    assert result.findings == ()
    items = {
        spec.id: {**spec.request.as_json(), "output": spec.output, "metadata": spec.metadata, "tags": list(spec.tags)}
        for spec in result.specs
    }
    compare(manifest.with_suffix(".json"), json.dumps(items, indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("case", sorted((CASES / "invalid").iterdir()), ids=lambda path: path.name)
def test_invalid_manifests(case: Path) -> None:
    """Each invalid project gives exactly its findings: all of them, in order, each at its place."""
    compare(case / "expected.txt", unpainted(diagnostics_text(findings(case))) + "\n")


@pytest.mark.parametrize(("glob", "path", "matches"), [
    ("content/**/*.yaml", "content/a.yaml", True), ("content/**/*.yaml", "content/a/b/c.yaml", True),
    ("content/**/*.yaml", "contents/a.yaml", False), ("content/*.yaml", "content/a/b.yaml", False),
    ("content/**", "content/a/b", True), ("**/a.yaml", "a.yaml", True), ("**/x/**/a.yaml", "q/x/a.yaml", True),
    ("a?c.yaml", "abc.yaml", True), ("a?c.yaml", "a/c.yaml", False), ("[ab].yaml", "a.yaml", True),
    ("[!ab].yaml", "a.yaml", False), ("[!ab].yaml", "/.yaml", False), ("[a-c]x", "bx", True), ("[^a]x", "^x", True),
    ("[[]x", "[x", True), ("a[b", "a[b", True), ("a+b.yaml", "a+b.yaml", True), ("a.yaml", "aXyaml", False),
    ("[]]x", "]x", True), ("[!]]x", "ax", True), ("[!]]x", "]x", False), ("a*b*c.yaml", "abbcbc.yaml", True),
    ("a*b*c.yaml", "acb.yaml", False), ("**/**/**/a.yaml", "x/y/a.yaml", True), ("**/**", "a/b", True),
])  # fmt: skip
def test_globs(glob: str, path: str, matches: bool) -> None:
    """`*` stays within a name, `**` stands for any folders, also none."""
    assert bool(glob_matcher(glob)(path)) is matches


def test_a_glob_of_many_stars_ends() -> None:
    """No name makes a glob try every way to share it out among its stars."""
    assert not glob_matcher("*a" * 30 + "b.yaml")("a" * 200 + ".yaml")
    assert not glob_matcher("**/" * 30 + "b.yaml")("a/" * 60)
    assert not glob_matcher("**/*/" * 10 + "b.yaml")("a/" * 60 + "c.yaml")
    assert glob_matcher("**/*/" * 10 + "b.yaml")("a/" * 60 + "b.yaml")


def test_which_files_are_manifests(project: Build) -> None:
    """Sorted, once each; hidden names, the project file and other endings are left out."""
    root = project(
        {
            "contentops.yaml": PROJECT + "manifests: ['**/*.yaml', ./b.yaml, 'sub/*']\n", "b.yaml": ONE,
            "sub/a.yaml": "", "sub/deep/c.yaml": "", ".hidden/d.yaml": "x: 1", "sub/.e.yaml": "x: 1",
            ".contentops/f.yaml": "x: 1", "g.yml": "x: 1",
        }
    )  # fmt: skip
    assert desired(root).manifests == ("b.yaml", "sub/a.yaml", "sub/deep/c.yaml")


def test_an_empty_manifest_is_a_warning(project: Build) -> None:
    """Files that declare nothing are read, counted and named; an empty list, or a move alone, is meant so."""
    root = declared(
        project,
        "",
        {
            "content/b.yaml": "# later\n", "content/c.yaml": "vars: {}\nitems:\n", "content/d.yaml": "items: []\n",
            "content/e.yaml": "moved: [{from: a, to: one}]\n", "content/f.yaml": ONE,
        },
    )  # fmt: skip
    result = desired(root)
    assert len(result.manifests) == 6
    assert [(entry.severity, entry.code, str(entry.location)) for entry in result.findings] == [
        ("warning", "empty-manifest", "content/a.yaml:1:1"),
        ("warning", "empty-manifest", "content/b.yaml:1:1"),
        ("warning", "empty-manifest", "content/c.yaml:2:1"),
    ]


@pytest.mark.parametrize(("settings", "files", "expected"), [
    pytest.param(
        "",
        {"content/a.yml": ONE, "content/b.yml": ONE},
        "- <> the glob `content/**/*.yaml` matches no manifest, but there is `content/a.yml` and 1 more (hint: "
        "rename it to end in `.yaml`, or set `manifests: ['content/**/*.yml']` in `contentops.yaml`)",
        id="other ending, built-in glob",
    ),
    pytest.param(
        "manifests: [pages/*.yml]\n",
        {"pages/a.yaml": ONE},
        "contentops.yaml:5:13 <pages/*.yml> the glob `pages/*.yml` matches no manifest, but there is "
        "`pages/a.yaml` (hint: rename it to end in `.yml`, or add `pages/*.yaml` to `manifests`)",
        id="other ending, written glob",
    ),
    pytest.param(
        "",
        {},
        "- <> the glob `content/**/*.yaml` matches no manifest "
        "(hint: add one there, or set `manifests` in `contentops.yaml`)",
        id="nowhere",
    ),
])  # fmt: skip
def test_what_a_glob_misses_is_named(project: Build, settings: str, files: dict[str, str], expected: str) -> None:
    """A glob that matches nothing names what was probably meant, and points where it can be put right."""
    root = project({"contentops.yaml": PROJECT + settings, **files})
    assert lines(desired(root).findings) == [f"warning[no-manifests] {expected}"]


@pytest.mark.parametrize("text", ["defaults: {draft: true}\nitems: []", "items: [{id: one, draft: true}]"])
def test_front_matter_beside_metadata_is_shown_its_place(project: Build, text: str) -> None:
    """Whoever comes from a site generator writes it there."""
    root = project({"contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n", "content/a.yaml": text})
    hints = [one.hint for one in findings(root) if one.code == "unknown-key"]
    assert hints == ["front matter goes under `metadata`: `metadata: {draft: ...}`"]


@pytest.mark.parametrize(("text", "expected"), [
    pytest.param("items: [{id: one, input: {topic: x}}]", ["unknown key `input`"], id="inputs"),
    pytest.param("items: [{id: one, tmplate: bare, inputs: {topc: x}, style: genral}]", ["unknown key `tmplate`", "names the style `genral`"], id="template"),
    pytest.param("items: [{idd: one, inputs: {topic: x}}]", ["unknown key `idd`"], id="id"),
    pytest.param("items: [{id: 'a{{ each.n }}', foreach: [{n: 1}], inputs: {topic: x}}]", ["unknown key `foreach`"], id="for_each"),
    pytest.param(
        "items: [{id: a, var: {t: x}, inputs: {topic: '{{ t }}'}}, {id: b, inputs: {topic: '{{ t }}'}}]",
        ["unknown key `var`", "item `b` has a problem in `inputs.topic`: `t` is not defined"],
        id="vars of one item",
    ),
    pytest.param("default: {inputs: {topic: x}}\nitems: [{id: one}]", ["unknown key `default`"], id="defaults"),
    pytest.param("defaults: {input: {topic: x}}\nitems: [{id: one}]", ["unknown key `input`"], id="in defaults"),
    pytest.param("var: {t: x}\nitems: [{id: one, inputs: {topic: '{{ t }}'}}]", ["unknown key `var`"], id="vars"),
    pytest.param("moved: [{from: a, to: b}]\nitem: [{id: b}]", ["unknown key `item`"], id="items"),
    pytest.param("moved: [{form: a, to: one}]\nitems: [{id: one, inputs: {topic: x}}]", ["`form`"], id="moved"),
    pytest.param("items: [{id: one, inputs: {topc: x}}]", ["sets `topc`"], id="name of an input"),
    pytest.param("items: [{id: one, inputs: {}, input: {topic: x}}]", ["unknown key `input`", "does not set `topic`"], id="the real key is there too"),
    pytest.param("items: [{id: one, zzz: 1}]", ["does not set `topic`", "unknown key `zzz`"], id="near nothing"),
])  # fmt: skip
def test_one_slip_is_told_once(project: Build, text: str, expected: list[str]) -> None:
    """A misspelt key is one error; what it leads to is left out, everything else is still told."""
    root = declared(project, text + "\n")
    problems = [entry.message for entry in findings(root)]
    assert [any(words in message for message in problems) for words in expected] == [True] * len(expected), problems
    assert len(problems) == len(expected)


@pytest.mark.parametrize(("mode", "expected"), [
    ("standard", []),
    ("premium", ["item `one` has the mode `premium`, which is not sent while `api.send_mode` is off"]),
])  # fmt: skip
def test_a_mode_that_is_not_sent_is_an_error(project: Build, mode: str, expected: list[str]) -> None:
    """With `send_mode: false`, a mode other than `standard` is refused before a plan gives it a price."""
    text = f"items: [{{id: one, inputs: {{topic: x}}, mode: {mode}}}]\n"
    root = declared(project, text, settings="api: {send_mode: false}\n")
    assert [entry.message for entry in findings(root)] == expected


MERGE = "<<<<<<< HEAD\n{ours}\n=======\n{theirs}\n>>>>>>> 1a2b3c4 (Fix: thing)\n"


@pytest.mark.parametrize(("path", "text", "line"), [
    pytest.param("content/a.yaml", ONE + MERGE.format(ours="a: 1", theirs="a: 2"), 2, id="manifest"),
    pytest.param("content/a.yaml", "items:\n  - id: one\n    inputs:\n      topic: |\n        a\n" + MERGE.format(ours="x", theirs="y"), 6, id="in a block of text"),
    pytest.param("content/a.yaml", "x: 'a\n" + MERGE.format(ours="b", theirs="c") + "'\n", 2, id="in quotes"),
    pytest.param("content/a.yaml", "vars: {a: 1}\n||||||| base\nb: 2\n", 2, id="base of three"),
    pytest.param("content/a.yaml", "vars: {a: 1}\r\n>>>>>>> theirs\r\n", 2, id="the end alone"),
    pytest.param("content/a.yaml", "vars: {a: 1}\r\n=======\r\nitems: []\r\n", 2, id="the middle alone"),
    pytest.param("contentops.yaml", PROJECT + MERGE.format(ours="output: a", theirs="output: b"), 5, id="settings"),
    pytest.param("rows.csv", "k\none\n" + MERGE.format(ours="two", theirs="three"), 3, id="CSV"),
    pytest.param("rows.csv", "k,v\none,1\n=======\ntwo,2\n", 3, id="CSV, the middle alone"),
    pytest.param("rows.csv", ">>>>>>> a, b\nk\none\n", 1, id="CSV, before the header"),
    pytest.param("rows.csv", 'k\n"a\n' + MERGE.format(ours="b", theirs="c") + '"\n', 3, id="CSV, in a cell"),
    pytest.param("rows.json", "[\n" + MERGE.format(ours='"a",', theirs='"b",') + '"c"]\n', 2, id="JSON"),
    pytest.param("rows.jsonl", '"a"\n' + MERGE.format(ours='"b"', theirs='"c"'), 2, id="JSON lines"),
    pytest.param("rows.yaml", "- a\n" + MERGE.format(ours="- b", theirs="- c"), 2, id="YAML rows"),
])  # fmt: skip
def test_what_git_left_is_named(project: Build, path: str, text: str, line: int) -> None:
    """A merge that is not resolved is one error at its first marker, whatever else it breaks."""
    data = path if path.startswith("rows") else "rows.csv"
    item = f"items: [{{id: '{{{{ each.value or each.k }}}}', for_each: {data}, inputs: {{topic: x}}}}]\n"
    [problem] = findings(declared(project, item, {"rows.csv": "k\none\n", path: text.encode()}))
    assert (problem.code, problem.hint) == ("conflict-markers", "resolve the merge, then run the command again")
    assert problem.location == Location(path, line, 1)
    assert problem.excerpt[:1] in set("<|=>")


def test_links_out_of_the_project_are_refused(project: Build) -> None:
    """Neither a manifest nor data is read from outside, whatever the link is called."""
    root = project(
        {"contentops.yaml": PROJECT, "content/b.yaml": "items: [{id: '{{ each.k }}', for_each: r.csv}]\n"}, at="p"
    )
    project({"a.yaml": ONE, "r.csv": "k\n1\n", "folder/x.yaml": ONE}, at="outside")
    (root / "content/a.yaml").symlink_to(root.parent / "outside/a.yaml")
    (root / "r.csv").symlink_to(root.parent / "outside/r.csv")
    (root / "content/linked").symlink_to(root.parent / "outside/folder")
    problems = [(entry.severity, entry.code, entry.message) for entry in findings(root)]
    assert problems == [
        ("warning", "link-not-followed", "`content/linked` is a link to a folder, which is not searched for manifests"),
        ("error", "outside-project", "`content/a.yaml` is a link that points outside the project"),
        ("error", "outside-project", "`r.csv` is a link that points outside the project"),
    ]


@pytest.mark.parametrize("folder", ["p", "p/inner"])
def test_settings_are_not_read_through_a_link_out_of_the_project(invoke: Run, project: Build, folder: str) -> None:
    """`contentops.yaml` is a file like the others: what it leads to is never shown."""
    root = project({"p/inner/x": "", "token": "ghp_planted\n"})
    (root / "p/contentops.yaml").symlink_to("../token")
    for arguments in (["plan"], ["validate", "--json"], ["doctor"]):
        ended = invoke("-C", str(root / folder), *arguments)
        assert (ended.code, "planted" in ended.stdout + ended.stderr) == (1, False)
        assert "`contentops.yaml` is a link that points outside the project" in ended.stdout + ended.stderr


def test_a_linked_root_of_a_glob_is_refused(project: Build) -> None:
    """Also where the fixed part of a glob is the link."""
    root = project({"contentops.yaml": PROJECT}, at="p")
    project({"x.yaml": ONE}, at="outside")
    (root / "content").symlink_to(root.parent / "outside")
    assert [entry.code for entry in findings(root)] == ["outside-project"]


def test_files_that_can_not_be_read(project: Build) -> None:
    """A pipe, a dangling link and a name that cannot be printed hide nothing and stop nothing else."""
    root = declared(project, "items: [{id: x, inputs: {}}]\n")
    os.mkfifo(root / "content/pipe.yaml")
    (root / "content/gone.yaml").symlink_to(root / "nowhere")
    (root / "content/loop.yaml").symlink_to("loop.yaml")
    (root / "content" / os.fsdecode(b"bad\xff.yaml")).write_text(ONE)
    (root / "content/bell\a.yaml").write_text(ONE)
    assert sorted((entry.code, entry.message) for entry in findings(root)) == [
        ("missing-input", "item `x` does not set `topic`, which template `blog` needs"),
        ("unreadable-file", "`content/bad\\udcff.yaml` has unprintable characters in its name and is skipped"),
        ("unreadable-file", "`content/bell\\x07.yaml` has unprintable characters in its name and is skipped"),
        ("unreadable-file", "`content/gone.yaml` was removed while the manifests were read"),
        ("unreadable-file", "`content/loop.yaml` cannot be read: Too many levels of symbolic links"),
        ("unreadable-file", "`content/pipe.yaml` is not a file"),
    ]


def test_reading_one_file(project: Build) -> None:
    """Bytes, None for what does not exist, a finding for what is there but no file, and for a name that is too long."""
    files = ProjectFiles(project({"a/b.txt": "x"}))
    assert files.read("a/b.txt") == b"x"
    assert files.read("a/c.txt") is None
    assert files.read("a/b.txt/c") is None
    with pytest.raises(FileError):
        files.read("a")
    with pytest.raises(FileError, match="cannot be read"):
        files.read("x" * 5000)
    assert ProjectFiles(Path("/")).read("nowhere/at/all") is None
    assert [problem.code for problem in files.match("x" * 5000 + "/*.yaml")[1]] == ["unreadable-file"]


def test_a_finding_about_a_value_in_no_file() -> None:
    """It has no place, and is said all the same."""
    problems = Problems()
    problems.about("item `x`", Written(1, "built-in"), "code", "is wrong")
    [problem] = problems.done()
    assert (problem.location, problem.message, problems.errors) == (None, "item `x` is wrong", 1)


def test_items_of_any_shape_do_not_crash(project: Build) -> None:
    """What the schema refuses is stepped over by everything behind it."""
    for items in ("5", "[5]", "[[]]", "{}", "[{id: [1]}]", "[{id: a, inputs: 5, metadata: [], tags: {}, vars: 3}]", "[{id: {a: 1}, for_each: 5}]", "[{id: a, matrix: {a: {}}}]", "[{id: a, matrix: 5}]", "[null]", "[{id: a, metadata: '{{ company }}', inputs: '{{ company }}'}]"):  # fmt: skip
        for moved in ("{}", "[5, {from: 1, to: a}]"):
            root = declared(project, f"defaults: 5\nvars: []\nmoved: {moved}\nitems: {items}\n")
            assert any(entry.severity is Severity.ERROR for entry in findings(root))


# --- one input that is written in place --------------------------------------------------------------------------

VALUE = 'Shorter: "no" {{ x }}\nKinder'
WRITTEN = r'''notes: "Shorter: \"no\" {{ '{{' }} x }}\nKinder"'''
BLOCK = """\
# Ours
items:
  - id: one  # the first
    inputs:
      # What it is about
      topic: A   # stays
  - {id: two, inputs: {topic: B}}  # flow
"""


@pytest.mark.parametrize(("before", "item", "after"), [
    (BLOCK, "one", BLOCK.replace("      topic: A", f"      {WRITTEN}\n      topic: A")),
    (BLOCK.replace("\n", "\r\n"), "one", BLOCK.replace("      topic: A", f"      {WRITTEN}\n      topic: A").replace("\n", "\r\n")),
    (BLOCK, "two", BLOCK.replace("{topic: B", f"{{{WRITTEN}, topic: B")),
    ("items:\n- id: one\n  inputs:\n    topic: A\n    notes: |\n      Longer.\n\n      More.\n\n  mode: deep # x\n", "one",
     f"items:\n- id: one\n  inputs:\n    topic: A\n    {WRITTEN}\n\n  mode: deep # x\n"),
    ("items: [{id: one, inputs: {notes: 'it''s', topic: A}}]", "one", f"items: [{{id: one, inputs: {{{WRITTEN}, topic: A}}}}]"),
    ("items:\n- id: one\n  inputs: {topic: A, notes: }\n", "one", f"items:\n- id: one\n  inputs: {{topic: A, {WRITTEN} }}\n"),
    ("items:\n- id: one\n  inputs:\n    notes:   # none yet\n    topic: A\n", "one",
     f"items:\n- id: one\n  inputs:\n    {WRITTEN}   # none yet\n    topic: A\n"),
], ids=["block", "crlf", "flow", "block scalar", "quoted", "empty in flow", "empty in block"])  # fmt: skip
def test_an_input_is_written_and_all_else_stays(before: str, item: str, after: str) -> None:
    """Comments, order and line ends too; words that look like a template stay words."""
    assert with_input("content/a.yaml", before, item, "notes", VALUE) == after


@pytest.mark.parametrize(("text", "item", "said"), [
    ("items:\n- id: '{{ each.name }}'\n  for_each: [{name: one}]\n  inputs: {topic: A}\n", "one", "is not one entry"),
    ("items:\n- id: one\n  template: x\n", "one", "cannot be written"),
    ("items:\n- id: one\n  inputs: {}\n", "one", "cannot be written"),
    ("items:\n- {id: two, inputs: &a {topic: A}}\n- id: one\n  inputs: *a\n", "one", "cannot be written"),
    ("items:\n- id: one\n  inputs:\n    topic: A\n    notes: [B, C]\n", "one", "cannot be written"),
], ids=["for_each", "no inputs", "empty", "alias", "a list"])  # fmt: skip
def test_what_cannot_be_changed_in_place_is_refused(text: str, item: str, said: str) -> None:
    """By name, with what to do."""
    with pytest.raises(UsageError, match=said) as refused:
        with_input("content/a.yaml", text, item, "notes", VALUE)
    assert "notes" in refused.value.hint

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.discover import FileError, ProjectFiles, glob_matcher
from contentops.manifests.load import load
from contentops.manifests.parse_cache import FileResult, StoredOrigins, decode, encode
from contentops.manifests.problems import Problems, in_order
from contentops.manifests.values import Written
from contentops.model import Project, TemplateInput
from contentops.reporting.diagnostics import diagnostics_text
from contentops.reporting.layout import unpainted
from tests.desired import CATALOG, PROJECT, declared, desired, findings, lines
from tests.running import Build, Run, examples

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


# --- files -------------------------------------------------------------------------------------------------


def test_no_manifest_is_a_warning(project: Build) -> None:
    """A project whose globs match nothing is empty, and says so at the glob."""
    root = project({"contentops.yaml": PROJECT + "manifests: ['a/*.yaml', 'b/**/*.yaml']\n", "b/x.yaml": ONE})
    result = desired(root)
    assert result.manifests == ("b/x.yaml",)
    assert lines(result.findings) == [
        (
            "warning[no-manifests] contentops.yaml:5:13 <'a/*.yaml'> the glob `a/*.yaml` matches no manifest "
            "(hint: add one there, or correct `manifests`)"
        )
    ]


def test_globs_of_an_environment_are_named_there(project: Build) -> None:
    """An environment may have manifests of its own; findings point at them."""
    root = declared(project, ONE, settings="environments: {e: {manifests: [nope/*.yaml]}}\n")
    [problem] = desired(root, environment="e").findings
    assert str(problem.location) == "contentops.yaml:5:32"


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("content/**/*.yaml", "content/a.yaml", True),
        ("content/**/*.yaml", "content/a/b/c.yaml", True),
        ("content/**/*.yaml", "contents/a.yaml", False),
        ("content/*.yaml", "content/a/b.yaml", False),
        ("content/**", "content/a/b", True),
        ("**/a.yaml", "a.yaml", True),
        ("**/x/**/a.yaml", "q/x/a.yaml", True),
        ("a?c.yaml", "abc.yaml", True),
        ("a?c.yaml", "a/c.yaml", False),
        ("[ab].yaml", "a.yaml", True),
        ("[!ab].yaml", "a.yaml", False),
        ("[!ab].yaml", "/.yaml", False),
        ("[a-c]x", "bx", True),
        ("[^a]x", "^x", True),
        ("[[]x", "[x", True),
        ("a[b", "a[b", True),
        ("a+b.yaml", "a+b.yaml", True),
        ("a.yaml", "aXyaml", False),
        ("[]]x", "]x", True),
        ("[!]]x", "ax", True),
        ("[!]]x", "]x", False),
        ("a*b*c.yaml", "abbcbc.yaml", True),
        ("a*b*c.yaml", "acb.yaml", False),
        ("**/**/**/a.yaml", "x/y/a.yaml", True),
        ("**/**", "a/b", True),
    ],
)
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
            "contentops.yaml": PROJECT + "manifests: ['**/*.yaml', ./b.yaml, 'sub/*']\n",
            "b.yaml": ONE,
            "sub/a.yaml": "",
            "sub/deep/c.yaml": "",
            ".hidden/d.yaml": "x: 1",
            "sub/.e.yaml": "x: 1",
            ".contentops/f.yaml": "x: 1",
            "g.yml": "x: 1",
        }
    )
    assert desired(root).manifests == ("b.yaml", "sub/a.yaml", "sub/deep/c.yaml")


def test_an_empty_manifest_is_a_warning(project: Build) -> None:
    """Files that declare nothing are read, counted and named; an empty list, or a move alone, is meant so."""
    root = declared(
        project,
        "",
        {
            "content/b.yaml": "# later\n",
            "content/c.yaml": "vars: {}\nitems:\n",
            "content/d.yaml": "items: []\n",
            "content/e.yaml": "moved: [{from: a, to: one}]\n",
            "content/f.yaml": ONE,
        },
    )
    result = desired(root)
    assert len(result.manifests) == 6
    assert [(entry.severity, entry.code, str(entry.location)) for entry in result.findings] == [
        ("warning", "empty-manifest", "content/a.yaml:1:1"),
        ("warning", "empty-manifest", "content/b.yaml:1:1"),
        ("warning", "empty-manifest", "content/c.yaml:2:1"),
    ]


def test_a_list_of_rows_is_no_empty_manifest(project: Build) -> None:
    """A data file that lies among the manifests is not taken for one that declares nothing."""
    item = "items: [{id: '{{ each.value }}', for_each: content/rows.yaml, inputs: {topic: x}}]\n"
    result = desired(declared(project, item, {"content/rows.yaml": "[one]\n"}))
    assert (result.findings, result.manifests, len(result.specs)) == ((), ("content/a.yaml",), 1)


@pytest.mark.parametrize(
    ("settings", "files", "expected"),
    [
        pytest.param(
            "",
            {"content/a.yml": ONE, "content/b.yml": ONE},
            "- <> the glob `content/**/*.yaml` matches no manifest, but there is `content/a.yml` (and 1 more) (hint: "
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
            {"pages/a.yaml": ONE, "other/values.yaml": "x: 1\n", "pages/z.yml": ONE, ".hidden/b.yaml": ONE},
            "- <> the glob `content/**/*.yaml` matches no manifest, but there is `pages/a.yaml` (and 1 more) "
            "(hint: move manifests there, or set `manifests` in `contentops.yaml`)",
            id="elsewhere, built-in glob",
        ),
        pytest.param(
            "manifests: ['content/*']\n",
            {"pages/a.yaml": ONE},
            "contentops.yaml:5:13 <'content/*'> the glob `content/*` matches no manifest, but there is `pages/a.yaml` "
            "(hint: move manifests there, or correct `manifests`)",
            id="elsewhere, written glob",
        ),
        pytest.param(
            "",
            {},
            "- <> the glob `content/**/*.yaml` matches no manifest "
            "(hint: add one there, or set `manifests` in `contentops.yaml`)",
            id="nowhere",
        ),
    ],
)
def test_manifests_that_a_glob_misses_are_named(
    project: Build, settings: str, files: dict[str, str], expected: str
) -> None:
    """A glob that matches nothing names what was probably meant, and points where it can be put right."""
    root = project({"contentops.yaml": PROJECT + settings, **files})
    assert lines(desired(root).findings) == [f"warning[no-manifests] {expected}"]


def test_looking_for_manifests_elsewhere_survives_what_can_not_be_read(project: Build) -> None:
    """A pipe with the name of a manifest is passed over."""
    root = project({"contentops.yaml": PROJECT})
    os.mkfifo(root / "pipe.yaml")
    [problem] = desired(root).findings
    assert "but there is" not in problem.message


@pytest.mark.parametrize("text", ["defaults: {draft: true}\nitems: []", "items: [{id: one, draft: true}]"])
def test_front_matter_beside_metadata_is_shown_its_place(project: Build, text: str) -> None:
    """Whoever comes from a site generator writes it there."""
    root = project({"contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\n", "content/a.yaml": text})
    hints = [one.hint for one in findings(root) if one.code == "unknown-key"]
    assert hints == ["front matter goes under `metadata`: `metadata: {draft: ...}`"]


# --- slips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("items: [{id: one, input: {topic: x}}]", ["unknown key `input`"], id="inputs"),
        pytest.param(
            "items: [{id: one, tmplate: bare, inputs: {topc: x}, style: genral}]",
            ["unknown key `tmplate`", "names the style `genral`"],
            id="template",
        ),
        pytest.param("items: [{idd: one, inputs: {topic: x}}]", ["unknown key `idd`"], id="id"),
        pytest.param(
            "items: [{id: 'a{{ each.n }}', foreach: [{n: 1}], inputs: {topic: x}}]",
            ["unknown key `foreach`"],
            id="for_each",
        ),
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
        pytest.param(
            "items: [{id: one, inputs: {}, input: {topic: x}}]",
            ["unknown key `input`", "does not set `topic`"],
            id="the real key is there too",
        ),
        pytest.param(
            "items: [{id: one, zzz: 1}]",
            ["does not set `topic`", "unknown key `zzz`"],
            id="near nothing",
        ),
    ],
)
def test_one_slip_is_told_once(project: Build, text: str, expected: list[str]) -> None:
    """A misspelt key is one error; what it leads to is left out, everything else is still told."""
    root = declared(project, text + "\n")
    problems = [entry.message for entry in findings(root)]
    assert [any(words in message for message in problems) for words in expected] == [True] * len(expected), problems
    assert len(problems) == len(expected)


# --- conflicts ---------------------------------------------------------------------------------------------

MERGE = "<<<<<<< HEAD\n{ours}\n=======\n{theirs}\n>>>>>>> 1a2b3c4 (Fix: thing)\n"


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        pytest.param("content/a.yaml", ONE + MERGE.format(ours="a: 1", theirs="a: 2"), 2, id="manifest"),
        pytest.param(
            "content/a.yaml",
            "items:\n  - id: one\n    inputs:\n      topic: |\n        a\n" + MERGE.format(ours="x", theirs="y"),
            6,
            id="in a block of text",
        ),
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
    ],
)
def test_what_git_left_is_named(project: Build, path: str, text: str, line: int) -> None:
    """A merge that is not resolved is one error at its first marker, whatever else it breaks."""
    data = path if path.startswith("rows") else "rows.csv"
    item = f"items: [{{id: '{{{{ each.value or each.k }}}}', for_each: {data}, inputs: {{topic: x}}}}]\n"
    root = declared(project, item, {"rows.csv": "k\none\n", path: text.encode()})
    [problem] = findings(root)
    assert (problem.code, problem.hint) == ("conflict-markers", "resolve the merge, then run the command again")
    assert problem.location == Location(path, line, 1)
    assert problem.excerpt[:1] in set("<|=>")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("content/a.yaml", "items:\n- id: one\n  inputs:\n    topic: |\n      <<<<<<< a\n", id="indented"),
        pytest.param("content/a.yaml", f"# <<<<<<< a\n{ONE}", id="comment"),
        pytest.param("content/a.yaml", 'items: [{id: one, inputs: {topic: "Title\n=======\nx"}}]\n', id="heading"),
        pytest.param("rows.csv", 'k,t\none,"x\n=======\n>>>>>>> a reply\n"\n', id="not in order, in a cell"),
        pytest.param("rows.csv", "k\n<<<<<<<\n", id="without a label"),
        pytest.param("rows.csv", "k\n======== \n", id="eight signs"),
    ],
)
def test_what_is_not_from_git_is_left_alone(project: Build, path: str, text: str) -> None:
    """Lines that only look a little like markers are content."""
    item = "items: [{id: 'n{{ each.k | length }}', for_each: rows.csv, inputs: {topic: '{{ each.k }}'}}]\n"
    root = declared(project, item, {"rows.csv": "k\none\n", path: text.encode()})
    assert [spec.id for spec in desired(root).specs] != []


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


def test_a_link_to_itself_is_a_finding(project: Build) -> None:
    """It leads to no file and to no folder."""
    root = declared(project, ONE)
    (root / "content/loop.yaml").symlink_to("loop.yaml")
    assert [entry.code for entry in findings(root)] == ["unreadable-file"]


@pytest.mark.parametrize("folder", ["p", "p/inner"])
def test_settings_are_not_read_through_a_link_out_of_the_project(invoke: Run, project: Build, folder: str) -> None:
    """`contentops.yaml` is a file like the others: what it leads to is never shown."""
    root = project({"p/inner/x": "", "token": "ghp_planted\n"})
    (root / "p/contentops.yaml").symlink_to("../token")
    for arguments in (["plan"], ["validate", "--json"], ["doctor"]):
        ended = invoke("-C", str(root / folder), *arguments)
        assert (ended.code, "planted" in ended.stdout + ended.stderr) == (1, False)
        assert "`contentops.yaml` is a link that points outside the project" in ended.stdout + ended.stderr


@pytest.mark.parametrize("linked", ["contentops.yaml", "content/a.yaml"])
def test_links_inside_the_project_are_read(project: Build, linked: str) -> None:
    """A link from one file of the project to another is as good as the file."""
    root = declared(project, ONE)
    (root / linked).rename(root / "target")
    (root / linked).symlink_to(root / "target")
    assert [spec.id for spec in desired(root).specs] == ["one"]


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
    (root / "content" / os.fsdecode(b"bad\xff.yaml")).write_text(ONE)
    (root / "content/bell\a.yaml").write_text(ONE)
    assert sorted((entry.code, entry.message) for entry in findings(root)) == [
        ("missing-input", "item `x` does not set `topic`, which template `blog` needs"),
        ("unreadable-file", "`content/bad\\udcff.yaml` has unprintable characters in its name and is skipped"),
        ("unreadable-file", "`content/bell\\x07.yaml` has unprintable characters in its name and is skipped"),
        ("unreadable-file", "`content/gone.yaml` was removed while the manifests were read"),
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


def test_every_problem_of_every_file(project: Build) -> None:
    """One broken file never hides the others; findings come by file, line and column."""
    root = declared(
        project,
        "items: [}\n",
        {
            "content/c.yaml": "items: [{id: c, inputs: {topic: '{{ x }}'}}]\n",
            "content/b.yaml": b"\xff\xfe",
            "content/d.yaml": "items: [{id: d, inputs: {topic: x}, mode: no, mode: yes}]\n",
        },
    )
    problems = findings(root)
    assert [entry.location.file for entry in problems if entry.location] == [
        "content/a.yaml",
        "content/b.yaml",
        "content/c.yaml",
        "content/d.yaml",
        "content/d.yaml",
    ]
    assert list(problems) == in_order(problems)


def test_items_of_any_shape_do_not_crash(project: Build) -> None:
    """What the schema refuses is stepped over by everything behind it."""
    for items in ("5", "[5]", "[[]]", "{}", "[{id: [1]}]", "[{id: a, inputs: 5, metadata: [], tags: {}, vars: 3}]", "[{id: {a: 1}, for_each: 5}]", "[{id: a, matrix: {a: {}}}]", "[{id: a, matrix: 5}]", "[null]", "[{id: a, metadata: '{{ company }}', inputs: '{{ company }}'}]"):  # fmt: skip
        for moved in ("{}", "[5, {from: 1, to: a}]"):
            root = declared(project, f"defaults: 5\nvars: []\nmoved: {moved}\nitems: {items}\n")
            assert any(entry.severity is Severity.ERROR for entry in findings(root))


def test_the_garbage_collector_is_left_as_it_was(project: Build) -> None:
    """Loading pauses it, and only that."""
    root = declared(project, ONE)
    desired(root)
    assert gc.isenabled()
    gc.disable()
    try:
        desired(root)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_project_without_its_file_can_be_loaded(project: Build) -> None:
    """Settings made in code have no places, and need none."""
    root = project({"content/a.yaml": "items: [{id: one, vars: {v: 1}, inputs: {topic: '{{ a }} {{ v }}'}}]\n"})
    made = Project(
        name="p", root=str(root), defaults={"template": "blog", "style": "general"}, vars={"a": 1, "b": 2, "c-d": 3}
    )
    result = load(made, CATALOG)
    assert result.specs[0].request.inputs == {"topic": "1 1"}
    assert [entry.code for entry in result.findings] == ["unused-variable", "unused-variable"]


# --- the parse cache ---------------------------------------------------------------------------------------


class Memory:
    """A cache that counts, and can be damaged."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.puts = 0

    def get(self, key: str) -> str | None:
        return self.kept.get(key)

    def put(self, key: str, value: str) -> None:
        self.puts += 1
        self.kept[key] = value


CACHED = {
    "contentops.yaml": PROJECT + "vars: {who: Ann, idle: 1}\nenvironments: {e: {vars: {who: Bob}}}\n",
    "content/a.yaml": """
    vars: {local: 1}
    moved: [{from: old, to: one}]
    items:
      - id: one
        inputs: {topic: "For {{ who }}", anything: {a: [1, null, 1.5, "é"]}}
        metadata: {title: T}
      - id: "c-{{ each.k }}"
        for_each: rows.csv
        inputs: {topic: "{{ each.t }} {{ who }}"}
        tags: [x]
    """,
    "content/b.yaml": "items: [{id: two, protected: true, revision: 3, vertical: legal, inputs: {topic: x}}]\n",
    "rows.csv": "k,t\n1,first\n2,second\n",
}


def same(one: Any, other: Any) -> None:
    """Two results are equal down to where each value was written."""
    assert one == other
    for mine, theirs in zip(one.specs, other.specs, strict=True):
        assert dict(mine.origins) == dict(theirs.origins)
        assert dict(mine.variables) == dict(theirs.variables)
        assert repr(dict(mine.origins)) == repr(dict(theirs.origins))


def test_an_unchanged_file_comes_from_the_cache(project: Build) -> None:
    """The second load stores nothing and answers the same."""
    root, cache = project(CACHED), Memory()
    first = desired(root, cache=cache)
    assert cache.puts == 2
    second = desired(root, cache=cache)
    assert cache.puts == 2
    same(first, second)
    same(first, desired(root))
    origins = second.specs[0].origins
    assert isinstance(origins, StoredOrigins)
    assert (len(origins), repr(origins)) == (len(list(origins)), repr(dict(origins)))


EDITS: dict[str, Any] = {
    "manifest": {"content/a.yaml": "items: [{id: other, inputs: {topic: '{{ who }}'}}]\n"},
    "manifest-comment": {"content/b.yaml": "# moved down\nitems: [{id: two, inputs: {topic: x}}]\n"},
    "data": {"rows.csv": "k,t\n1,changed\n3,third\n"},
    "settings": {"contentops.yaml": CACHED["contentops.yaml"].replace("Ann", "Zoe")},
    "settings-places": {"contentops.yaml": "# a comment moves every line\n" + CACHED["contentops.yaml"]},
    "default": {"contentops.yaml": CACHED["contentops.yaml"].replace("style: general", "style: formal")},
    "new-error": {"rows.csv": "k,t\n1,a\n1,b\n"},
    "same-id": {"content/b.yaml": "items: [{id: one, inputs: {topic: x}}]\n"},
    "same-output": {"content/b.yaml": "items: [{id: two, output: out/one.md, inputs: {topic: x}}]\n"},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_the_cache_never_changes_the_answer_after_an_edit(project: Build, edit: dict[str, str]) -> None:
    """Whatever is edited, a load with a warm cache is a load without one; and so it is when the edit is undone."""
    root, cache = project(CACHED), Memory()
    before = answer(root, cache=cache)
    project(edit)
    assert answer(root, cache=cache) == answer(root) != before
    assert answer(root, cache=cache) == answer(root)
    (root / next(iter(edit))).unlink()
    project({name: text for name, text in CACHED.items() if name in edit})
    assert answer(root, cache=cache) == before


def test_the_cache_knows_why_a_data_file_could_not_be_read(project: Build) -> None:
    """One that is a link out of the project, then a folder, then not there is told as what it is each time."""
    root, cache = project(CACHED), Memory()
    (root / "rows.csv").unlink()
    (root / "rows.csv").symlink_to(root.parent / "elsewhere")
    link = answer(root, cache=cache)
    (root / "rows.csv").unlink()
    (root / "rows.csv").mkdir()
    folder = answer(root, cache=cache)
    (root / "rows.csv").rmdir()
    gone = answer(root, cache=cache)
    assert gone == answer(root)
    assert link != folder != gone != link


def test_the_cache_remembers_files_that_were_not_there(project: Build) -> None:
    """A data file that appears where it is looked for first changes the answer."""
    root = project(
        {name: text for name, text in CACHED.items() if name != "rows.csv"} | {"content/rows.csv": "k,t\n9,z\n"}
    )
    cache = Memory()
    assert "c-9" in {spec.id for spec in desired(root, cache=cache).specs}
    project({"rows.csv": CACHED["rows.csv"]})
    assert "c-1" in {spec.id for spec in desired(root, cache=cache).specs}


def answer(root: Path, **options: Any) -> object:
    """Everything a load says, in a form that can be compared."""
    try:
        result = desired(root, **options)
    except InputError as error:
        return error.findings
    return result, [(dict(spec.origins), dict(spec.variables)) for spec in result.specs]


@pytest.mark.parametrize(
    "options",
    [
        {"variables": {"who": "Cy"}},
        {"environment": "e"},
        {"catalog": None},
        {"catalog": structs.replace(CATALOG, styles=frozenset({"formal"}))},
        {"catalog": structs.replace(CATALOG, verticals=frozenset({"x"}))},
        {"catalog": structs.replace(CATALOG, templates={"blog": structs.replace(CATALOG.templates["blog"], inputs=(TemplateInput(name="topic"),))})},
    ],
    ids=["var", "environment", "no-catalog", "styles", "verticals", "inputs"],
)  # fmt: skip
def test_the_cache_knows_what_else_shapes_an_answer(project: Build, options: dict[str, Any]) -> None:
    """Variables of the command line, the environment and the catalog are part of what is remembered."""
    root, cache = project(CACHED), Memory()
    desired(root, cache=cache)
    assert answer(root, cache=cache, **options) == answer(root, **options) != answer(root)


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "", "{{ who }}"])), max_size=3)
FIELDS = st.sampled_from(["{{ who }}", "{{ each.t }}", "{{ each.k ~ who }}", "{{ nope }}", "plain", "{{ idle }}"])
STATES = st.tuples(
    ROWS, FIELDS, st.sampled_from(["", "mode: quick, ", "audiance: 1, "]), st.sampled_from(["Ann", "Bob"])
)


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STATES, min_size=2, max_size=5))
def test_the_cache_never_changes_the_answer(project: Build, states: list[Any]) -> None:
    """Over any series of edits of data, manifest and settings, cached and fresh answers are equal."""
    cache = Memory()
    for rows, topic, extra, who in states:
        root = declared(
            project,
            f"items: [{{id: 'i{{{{ each.k }}}}', for_each: rows.csv, {extra}inputs: {{topic: '{topic}'}}}}]\n",
            {"rows.csv": "k,t\n" + "".join(f"{key},{text}\n" for key, text in rows)},
            settings=f"vars: {{who: {who}, idle: 1}}\n",
        )
        assert answer(root, cache=cache) == answer(root)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: "x" + text,
        lambda text: text[:-3],
        lambda text: text.replace("Ann", "Eve"),
        lambda text: text.replace("one", "two", 1),
        lambda _: json.dumps([1]),
        lambda _: "é" * 40,
    ],
)
def test_a_damaged_cache_is_ignored(project: Build, damage: Any) -> None:
    """Lost, cut or changed text costs time, never the answer, and is replaced."""
    root, cache = project(CACHED), Memory()
    before = answer(root, cache=cache)
    kept = dict(cache.kept)
    cache.kept = {key: damage(text) for key, text in kept.items()}
    assert answer(root, cache=cache) == before
    assert cache.kept == {key: text if damage(text) != text else damage(text) for key, text in kept.items()}


def test_results_of_another_file_are_not_taken(project: Build) -> None:
    """A value under the wrong key is refused by the path it carries."""
    root, cache = project(CACHED), Memory()
    before = answer(root, cache=cache)
    first, second = cache.kept
    cache.kept[first], cache.kept[second] = cache.kept[second], cache.kept[first]
    assert answer(root, cache=cache) == before


def test_errors_are_kept_too(project: Build) -> None:
    """A file with findings is not worked through again either, and they stay the same."""
    root = declared(project, "items: [{id: one, inputs: {topic: '{{ x }}'}}]\n")
    cache = Memory()
    assert findings(root, cache=cache) == findings(root, cache=cache) == findings(root)
    assert cache.puts == 1


FINDINGS = st.builds(
    Diagnostic,
    code=st.text(max_size=3),
    message=st.text(max_size=9),
    severity=st.sampled_from(Severity),
    location=st.none() | st.builds(Location, st.text(max_size=3), st.integers(1, 9), st.integers(1, 9)),
    excerpt=st.text(max_size=9),
    width=st.integers(1, 9),
    hint=st.text(max_size=3),
)
RESULTS = st.builds(
    FileResult,
    path=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    findings=st.lists(FINDINGS, max_size=2).map(tuple),
    used=st.frozensets(st.text("ab.", max_size=3), max_size=2),
    complete=st.booleans(),
    items=st.integers(0, 5),
)


@given(RESULTS)
def test_results_survive_storing(result: FileResult) -> None:
    """What is stored comes back equal; what could not be stored is not found, which costs time only."""
    try:
        text = encode(result)
    except UnicodeEncodeError:
        return
    assert decode(text) == result
    assert decode(text + " ") is None


def test_a_well_formed_text_of_another_shape_is_ignored() -> None:
    """A correct checksum does not make a list a result."""
    import hashlib

    for body in ("[]", "{}", '{"path": 1}', "1\n2", '{"specs":[[]],"path":""}\n[[],[]]'):
        assert decode(hashlib.sha256(body.encode()).hexdigest()[:32] + body) is None


def test_loading_plain_manifests_imports_little(project: Build) -> None:
    """Jinja takes long to load, and plain look-ups need none of it."""
    root = declared(project, ONE.replace("x}", "'{{ a }}'}"), settings="vars: {a: 1}\n")
    code = (
        "import sys; from pathlib import Path; from contentops.manifests.project import load_project;"
        "from contentops.manifests.load import load; load(load_project(Path(sys.argv[1])), None);"
        "print(sorted({'jinja2', 'httpx', 'rich'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"

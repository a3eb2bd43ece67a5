"""What git left in place of an output's text, an unresolved merge or a pointer: nothing is made of it.

Texts about git are not taken for one.
"""

from pathlib import Path
from typing import Any

import pytest

from contentops.digest import digest_bytes, digest_text
from contentops.documents.clean import conflict_line, is_lfs_pointer
from contentops.documents.files import Outputs, observe_by_stamp
from contentops.model import Observed, OnEdit
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results

CONFLICT = "<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> 1a2b3c4 (Fix: thing)\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1a' * 32}\nsize 12345\n"
FRONT = "---\ntitle: T\n---\n"


@pytest.mark.parametrize(("text", "line"), [
    pytest.param(CONFLICT, 1, id="at once"),
    pytest.param(f"{FRONT}\nText.\n\n{CONFLICT}", 7, id="in the body"),
    pytest.param(f"{FRONT}\nText.\n\n{CONFLICT}".replace("\n", "\r\n"), 7, id="with CRLF"),
    pytest.param(f"---\ntitle: T\n{CONFLICT}---\nText.\n", 3, id="in the front matter"),
    pytest.param(f"\ufeff---\nx: |\n  ```\n---\n{CONFLICT}", 5, id="a fence in the front matter is none"),
    pytest.param(f"---\nx: |\n  ```\n...\n{CONFLICT}", 5, id="front matter closed by dots"),
    pytest.param("<<<<<<< a\nx\n||||||| base\nb\n=======\ny\n>>>>>>> c", 1, id="three sides, no newline"),
    pytest.param(f"```\ncode\n```\n{CONFLICT}", 4, id="after a code block"),
    pytest.param(f"~~~~\n```\n~~~\n~~~~ \n{CONFLICT}", 5, id="after a code block of tildes"),
    pytest.param(f"    ```\n{CONFLICT}", 2, id="a fence indented by four is text"),
    pytest.param(f"``` a ` b\n{CONFLICT}", 2, id="backticks in one line are no fence"),
    pytest.param("<<<<<<< a\n```python\n=======\n```py\n>>>>>>> b\nx\n```\n", 1, id="a fence on each side"),
    pytest.param(f"<<<<<<< a\nnever closed\n{CONFLICT}", 1, id="the first of two starts"),
])  # fmt: skip
def test_conflicts_are_found(text: str, line: int) -> None:
    """The line where the first one starts, outside of code blocks."""
    assert conflict_line(text) == line


@pytest.mark.parametrize("text", [
    pytest.param("", id="nothing"),
    pytest.param(f"```\n{CONFLICT}```\n", id="code block"),
    pytest.param(f"  ~~~ text\n{CONFLICT}~~~\n", id="code block of tildes"),
    pytest.param(f"````\n```\n{CONFLICT}````\n", id="a shorter fence closes nothing"),
    pytest.param(f"```\n``` x\n{CONFLICT}```\n", id="a fence with words closes nothing"),
    pytest.param(f"```\n{CONFLICT}", id="code block to the end"),
    pytest.param("".join(f"    {line}" for line in CONFLICT.splitlines(keepends=True)), id="indented code"),
    pytest.param("".join(f"> {line}" for line in CONFLICT.splitlines(keepends=True)), id="quoted"),
    pytest.param(">>>>>>> b\n=======\n<<<<<<< a\n", id="another order"),
    pytest.param("<<<<<<< a\n>>>>>>> b\n", id="no middle"),
    pytest.param("<<<<<<< a\n======= \n>>>>>>> b\n", id="a space after the middle"),
    pytest.param("<<<<<<< a\n========\n>>>>>>> b\n", id="eight signs in the middle"),
    pytest.param("<<<<<<<< a\n=======\n>>>>>>>> b\n", id="eight signs"),
    pytest.param("<<<<<< a\n=======\n>>>>>> b\n", id="six signs"),
    pytest.param("<<<<<<<\n=======\n>>>>>>>\n", id="no label"),
    pytest.param("<<<<<<<a\n=======\n>>>>>>>b\n", id="no space"),
    pytest.param("Write `<<<<<<< a`, then\n=======\n`>>>>>>> b`\n", id="in a sentence"),
])  # fmt: skip
def test_what_only_looks_like_a_conflict(text: str) -> None:
    """Only git's three lines in git's order count, each from the start of its line to the end of its form."""
    assert conflict_line(text) == 0


@pytest.mark.parametrize(("text", "is_pointer"), [
    (POINTER, True), (POINTER.replace("\n", "\r\n"), True),
    (POINTER.replace("oid", f"ext-0-foo sha256:{'2b' * 32}\noid"), True), (f"{FRONT}\n{POINTER}", False),
    (f"{POINTER}\nThat is a pointer.\n", False), (POINTER.splitlines()[0] + "\n", False),
    ("version https://git-lfs.github.com/spec/v1 is the first line of a pointer.\n", False),
], ids=["v1", "CRLF", "with an extension", "front matter", "more text", "one line", "a sentence"])  # fmt: skip
def test_pointers_of_lfs(text: str, *, is_pointer: bool) -> None:
    """A whole file of such lines; a text that tells of one is none."""
    assert is_lfs_pointer(text) is is_pointer


@pytest.mark.parametrize("front", [FRONT, "", "---\ntitle: [\n---\n"], ids=["front", "none", "broken front"])
def test_a_conflict_is_a_problem(root: Path, front: str) -> None:
    """It is told by its line; nothing else of the file is taken for true, nor remembered for the next look."""
    data = f"{front}{CONFLICT}".encode()
    (root / "a.md").write_bytes(data)
    line = front.count("\n") + 1
    expected = Observed(
        path="a.md",
        file=digest_bytes(data),
        problem=f"`a.md` contains git conflict markers from line {line}; resolve the merge first",
        problem_line=line,
    )
    assert Outputs(root).observe("a.md") == expected
    store: dict[str, str] = {}
    seen = observe_by_stamp(Outputs(root), ["a.md"], store.get, store.update, now=2**63)
    assert seen == {"a.md": expected}
    assert not store


def test_whether_such_a_text_is_whole_is_asked_each_time(root: Path) -> None:
    """The lock says it, which may be put back without a touch of the file: its stamp alone does not."""
    (root / "a.md").write_text(f"{FRONT}\n{CONFLICT}")
    store: dict[str, str] = {}
    for whole in ([digest_text(CONFLICT)], []):
        seen = observe_by_stamp(Outputs(root, whole=whole), ["a.md"], store.get, store.update, now=2**63)
        assert bool(seen["a.md"].problem) is not bool(whole)


CHANGES = {
    "nothing": ("", ""),
    "request": ("topic: 'All about one", "topic: 'New: one"),
    "path": ("id: one", "id: one\n    output: out/new.md"),
}


@pytest.mark.parametrize(
    "choice",
    [{}, {"replace": ("one",)}, {"on_edit": OnEdit.OVERWRITE}, {"on_edit": OnEdit.KEEP}],
    ids=["apply", "replace", "overwrite", "keep"],
)
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_saved_or_overwritten_while_a_merge_is_open(root: Path, choice: dict[str, Any], change: str) -> None:
    """Whatever else is asked for, the file and the server's text stay, and nothing is paid for."""
    harness = _merging(root)
    text, stored = harness.read("out/one.md"), [content.body for content in harness.api.contents.values()]
    harness.edit("content/blog.yaml", *CHANGES[change])
    assert results(harness.apply(**choice))["one"] == "blocked"
    assert harness.tree() == {"out/one.md": text, "out/two.md": harness.read("out/two.md")}
    assert [content.body for content in harness.api.contents.values()] == stored
    assert len(harness.api.generations) == 2


@pytest.mark.parametrize("choice", [{}, {"replace": ("one",)}, {"on_edit": OnEdit.OVERWRITE}], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_a_pointer_of_lfs_is_no_edit(root: Path, choice: dict[str, Any], change: str) -> None:
    """It is neither saved nor paid for nor replaced; once its text is fetched all goes on."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one", "two")
    text, stored = harness.read("out/one.md"), [content.body for content in harness.api.contents.values()]
    harness.write("out/one.md", POINTER)
    harness.edit("content/blog.yaml", *CHANGES[change])
    run = harness.ran(**choice)
    assert results(run)["one"] == "blocked"
    assert "`out/one.md` is a Git LFS pointer; fetch its text with `git lfs pull` first" in str(run.outcomes)
    assert (harness.read("out/one.md"), len(harness.api.generations)) == (POINTER, 2)
    assert [content.body for content in harness.api.contents.values()] == stored
    harness.write("out/one.md", text)
    harness.apply()
    assert harness.plan().empty


def test_an_unresolved_merge_is_not_pruned(root: Path) -> None:
    """Not even where its item is gone and removal is asked for."""
    harness = _merging(root)
    text = harness.read("out/one.md")
    harness.write("content/blog.yaml", blog("two"))
    assert (results(harness.apply(prune=True)), harness.read("out/one.md")) == ({"one": "blocked"}, text)


def _merging(root: Path) -> Harness:
    """Two items, of which `one` was changed on two branches."""
    harness = Harness(root, FakeApi(duration=30, auto_save=False)).applied("one", "two")
    harness.edit("out/one.md", "Take 1.", f"Take 1.\n\n{CONFLICT}")
    return harness

"""`contentops.approvals` as a file: what merges make of it is read, what would lose a verdict is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.atomic_io import Disk
from contentops.digest import Digest
from contentops.errors import StateError, UsageError
from contentops.model import Approval, Approvals, ItemId, Verdict
from contentops.model.approval import NOTE_LIMIT, Comment
from contentops.schema_files import load_schema
from contentops.state import approvals
from contentops.state.approvals import FILE, FORMAT, load, parse, record, render
from contentops.state.codec import line_of
from tests.clones import commit, git
from tests.fakes.api import FakeApi, Killed
from tests.fakes.kills import Death

HEADER = '{"contentops_approvals":1}'
ANN, BEN = "Ann <ann@example.com>", "Ben <ben@example.com>"


def digest(letter: str) -> Digest:
    """The digest of some text."""
    return Digest(f"sha256:{letter * 64}")


def said(verdict: str = "approved", day: int = 1, **values: str) -> Approval:
    """What Ann said of a text of item `a` on a day of March."""
    given = {"item": "a", "text": digest("a"), "by": ANN, "at": f"2026-03-{day:02}T10:00:00Z", **values}
    source = given.pop("source", "terminal")
    item, text = ItemId(given.pop("item")), Digest(given.pop("text"))
    return Approval(item=item, text=text, verdict=Verdict(verdict), source=source, **given)


names = st.sampled_from(
    [ANN, "ann@example.com", "A. <ANN@example.com>", BEN, "ben", "contentops_approvals", "<<<<<<< b"]
)
lines = st.builds(
    Approval, item=st.sampled_from(["a", "b", "contentops_approvals", "é"]).map(ItemId),
    text=st.sampled_from("abc").map(digest), verdict=st.sampled_from(Verdict), by=names,
    at=st.integers(1, 4).map("2026-03-0{}T10:00:00Z".format),
    note=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    source=st.sampled_from(["", "page", "https://example.com/pull/1"]),
)  # fmt: skip
some = st.lists(lines, max_size=8).map(lambda lines: Approvals(lines=tuple(lines)))
some_comments = st.lists(
    st.builds(
        Comment, item=st.sampled_from(["a", "é"]).map(ItemId), text=st.sampled_from("ab").map(digest), by=names,
        quote=st.text(max_size=5), at=st.just("2026-03-01T10:00:00Z"),
        note=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ), max_size=5,
)  # fmt: skip


def fold(verdicts: Approvals) -> dict[Digest, tuple[Approval, ...]]:
    """The last word of each person on each text."""
    return {digest(letter): verdicts.of_text(digest(letter)) for letter in "abc"}


@given(some, some_comments, st.randoms())
def test_what_is_rendered_says_the_same(verdicts: Approvals, comments: list[Comment], random: Random) -> None:
    """The last word of each person and each comment once, in whichever order; a comment decides nothing."""
    data = render(Approvals(lines=verdicts.lines, comments=(*comments, *comments)))
    shuffled = list(verdicts.lines)
    random.shuffle(shuffled)
    header, *written = data.decode().rstrip("\n").split("\n")
    random.shuffle(written)
    read = parse("\n".join((header, *written, "")))

    assert header == HEADER
    assert fold(read) == fold(Approvals(lines=tuple(shuffled))) == fold(verdicts)
    assert sorted(map(line_of, read.comments)) == sorted({line_of(one) for one in comments})
    assert render(read) == render(Approvals(lines=tuple(shuffled), comments=tuple(comments))) == data


@given(some, some, some, st.randoms())
def test_a_union_of_two_descendants_says_what_both_say(
    before: Approvals, ours: Approvals, theirs: Approvals, random: Random
) -> None:
    """In any order of lines, with both headers: as if all verdicts had been recorded in one place."""
    sides = [parse(render(Approvals(lines=(*before.lines, *side.lines))).decode()) for side in (ours, theirs)]
    union = [line for side in sides for line in render(side).decode().split("\n")]
    random.shuffle(union)

    merged = parse("\n".join(union))

    whole = Approvals(lines=(*before.lines, *ours.lines, *theirs.lines))
    assert (fold(merged), render(merged)) == (fold(whole), render(whole))


@pytest.mark.parametrize(
    ("second", "kept", "counts"),
    [
        (said("sent-back", 2), 2, "sent-back"),
        # Of two in one second, the one that is recorded later stays.
        (said("sent-back", 1), 1, "sent-back"),
        (said("sent-back", 1, by="ann@example.com"), 1, "sent-back"),
        (said("withdrawn", 2, by="A. <ANN@example.com> "), 2, "withdrawn"),
        # A review on a host may be recorded after what the person said later.
        (said("sent-back", day=1, at="2026-02-28T10:00:00Z"), 2, "approved"),
    ],
)
def test_earlier_verdicts_stay(tmp_path: Path, second: Approval, kept: int, counts: str) -> None:
    """They are the audit trail; the latest one of a person counts."""
    record(tmp_path, Disk(), [said(note="The second number is right.")])
    record(tmp_path, Disk(), [second])

    verdicts = load(tmp_path, Disk())
    assert [line.verdict for line in verdicts.of_text(digest("a"))] == [counts]
    assert len(verdicts.lines) == kept


@pytest.mark.parametrize(("by", "person"), [
    (ANN, "ann@example.com"), (" ANN@Example.com ", "ann@example.com"), ("<ann@example.com>", "ann@example.com"),
    ("Ann <>", "ann"), ("Ann < >", "ann"), ("Ann <3 <ann@example.com>", "ann@example.com"), ("a-login", "a-login"),
])  # fmt: skip
def test_a_person_is_known_by_the_address(by: str, person: str) -> None:
    """In whichever form the name was written; without an address, by the name."""
    assert said(by=by).person == person


BAD = {
    "empty": ("", "damaged-approvals", "has no header line"),
    "blank": ("\n \n", "damaged-approvals", "has no header line"),
    "cut off before": (line_of(said()), "damaged-approvals", "has no header line"),
    "cut off": (f"{HEADER}\n{line_of(said())[:60]}", "damaged-approvals", "line 2 of .* is incomplete or invalid JSON"),
    "NUL": (f"{HEADER}\n{line_of(said())}\0", "damaged-approvals", "line 2 of .* is incomplete or invalid JSON"),
    "NULs": (f"{HEADER}\n" + "\0" * 4096, "damaged-approvals", "line 2 of .* is incomplete or invalid JSON"),
    "two in a line": (f"{HEADER}{line_of(said())}", "damaged-approvals", "line 1 of .* is incomplete or invalid JSON"),
    "markers": (f"{HEADER}\n<<<<<<< HEAD\n=======\n>>>>>>> b\n", "conflict-markers", "line 2 of .* conflict marker"),
    "a newer format": ('{"contentops_approvals":2}\n{"new":1}', "newer-state", "by a newer version of contentops"),
    "no version": ('{"contentops_approvals":"1"}', "damaged-approvals", "`contentops_approvals` is not valid"),
    "no such verdict": (line_of(said()).replace("approved", "maybe"), "damaged-approvals", "`verdict` is not valid"),
    "no digest": (line_of(said(text="sha256:abc")), "damaged-approvals", "has `sha256:abc` as `text`"),
    "no text": (line_of(said(text="")), "damaged-approvals", "has `` as `text`"),
    "no time": (line_of(said(at="yesterday")), "damaged-approvals", "has `yesterday` as `at`"),
    "no such day": (line_of(said(at="2026-02-30T10:00:00Z")), "damaged-approvals", "as `at`, which must be a time"),
    "other digits": (line_of(said(at="２026-02-03T10:00:00Z")), "damaged-approvals", "as `at`, which must be a time"),
    "no one": (line_of(said(by=" <>")), "damaged-approvals", "has no name in `by`"),
    "a surrogate": (line_of(said(note="?")).replace("?", "\\ud800"), "damaged-approvals", "is incomplete or invalid JSON"),
    "nested": (f'{{"more":{"[" * 100_000}', "damaged-approvals", "is nested too deeply"),
    "a list": ("[]", "damaged-approvals", "expected `object`"),
    "LFS": (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1a' * 32}\nsize 1\n", "lock-in-lfs", "pointer"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "message"), BAD.values(), ids=BAD)
def test_what_would_lose_a_verdict_is_refused(tmp_path: Path, text: str, code: str, message: str) -> None:
    """By line, with what to do; and the file stays as it is, also where something is to be recorded."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StateError, match=message) as caught:
        record(tmp_path, Disk(), [said()])

    assert caught.value.code == code
    assert caught.value.hint
    assert (tmp_path / FILE).read_text() == text
    assert not (tmp_path / ".gitattributes").exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("elsewhere")], ids=["folder", "link"])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A link could lead out of the project."""
    make(tmp_path / FILE)
    with pytest.raises(StateError) as caught:
        record(tmp_path, Disk(), [said()])
    assert caught.value.code == "not-a-file"


def test_a_line_of_a_megabyte_is_read() -> None:
    """What someone wrote into the file by hand is no reason to stop."""
    long = said(note="x" * (1 << 20))
    assert parse(render(Approvals(lines=(long,))).decode()).lines == (long,)


def test_what_could_deceive_a_reader_of_the_file_is_not_recorded(tmp_path: Path) -> None:
    """Marks of direction, controls and bytes that are no text are taken out of names and notes."""
    record(tmp_path, Disk(), [said(by="Ann\u202e\udcff <ann@example.com>\x1b[0m", note="\u202eyes\x1b\n\tno\udcff ")])
    (line,) = load(tmp_path, Disk()).lines
    assert (line.by, line.note) == ("Ann <ann@example.com>[0m", "yes\n\tno\ufffd")


@pytest.mark.parametrize(("line", "error", "message"), [
    (said(by="\u202e\u200b"), UsageError, "no visible character"),
    (said(note="x" * (NOTE_LIMIT + 1)), UsageError, "2,001 characters, and 2,000 are kept"),
    # A host may report anything.
    (said(item="b", at="2026-13-01T10:00:00Z"), StateError, "cannot be dated `2026-13-01T10:00:00Z`"),
], ids=["no name", "a long note", "no time"])  # fmt: skip
def test_a_line_that_would_make_the_file_unusable_is_not_recorded(
    tmp_path: Path, line: Approval, error: type[Exception], message: str
) -> None:
    """Nothing is written then, also of the others."""
    with pytest.raises(error, match=message):
        record(tmp_path, Disk(), [said(), line])
    assert list(tmp_path.iterdir()) == []
    record(tmp_path, Disk(), [said(note="x" * NOTE_LIMIT)])


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
@pytest.mark.parametrize(("ours", "before"), [("one", []), ("two", [said()])], ids=["a new file", "a longer file"])
def test_two_branches_merge(tmp_path: Path, ours: str, before: list[Approval], processes: None) -> None:
    """By the line in `.gitattributes`, whichever side merges: all verdicts are there, and the later one counts."""
    same = said(item="b", text=digest("b"))
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / ".gitattributes").write_text(f"{FORMAT.rule}\n")
    record(tmp_path, Disk(), before)
    commit(tmp_path)
    for name, verdicts in {"one": [said("sent-back", 2), same], "two": [said(by=BEN), same]}.items():
        git(tmp_path, "checkout", "--quiet", "-b", name, "main")
        record(tmp_path, Disk(), verdicts)
        commit(tmp_path)
    git(tmp_path, "checkout", "--quiet", ours)
    git(tmp_path, "merge", "--quiet", "--no-edit", "two" if ours == "one" else "one")

    both = load(tmp_path, Disk())
    assert sorted(line.verdict for line in both.of_text(digest("a"))) == ["approved", "sent-back"]
    assert [line.verdict for line in both.of_text(digest("b"))] == ["approved"]
    record(tmp_path, Disk(), [said(item="c", text=digest("c"))])
    healed = (tmp_path / FILE).read_text().splitlines()
    assert len(healed) == len(set(healed)) == 5 + len(before)


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("before", [[], [said(by=BEN)]], ids=["first", "later"])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, at: int, before: list[Approval]) -> None:
    """Recorded again, it ends like an undisturbed run; the file is never there without its merge line."""
    record(tmp_path, Disk(), before)
    if before:
        (tmp_path / ".gitattributes").unlink()
    with pytest.raises(Killed):
        record(tmp_path, Death(at).edges(FakeApi())["disk"], [said()])

    left = load(tmp_path, Disk())
    assert set(left.lines) in (set(before), {said(), *before})
    assert said() not in left.lines or (tmp_path / ".gitattributes").exists()
    record(tmp_path, Disk(), [said()])
    assert (tmp_path / FILE).read_bytes() == render(Approvals(lines=(*before, said())))
    assert (tmp_path / ".gitattributes").read_text() == f"{FORMAT.rule}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitattributes", FILE]


def test_the_format_is_golden() -> None:
    """Sorted keys, empty ones left out, lines by item, text and person."""
    verdicts = Approvals(lines=(said(item="b"), said("sent-back", note="Too long."), said(source="")))
    assert [json.loads(line) for line in render(verdicts).decode().splitlines()] == [
        {"contentops_approvals": 1},
        {
            "at": "2026-03-01T10:00:00Z", "by": ANN, "from": "terminal", "item": "a", "note": "Too long.",
            "text": digest("a"), "verdict": "sent-back",
        },
        {"at": "2026-03-01T10:00:00Z", "by": ANN, "item": "a", "text": digest("a"), "verdict": "approved"},
        {
            "at": "2026-03-01T10:00:00Z", "by": ANN, "from": "terminal", "item": "b", "text": digest("a"),
            "verdict": "approved",
        },
    ]  # fmt: skip
    assert approvals.ApprovalsHeader.newest == 1


def test_lines_follow_the_schema() -> None:
    """The published schema describes each kind of line."""
    schema = load_schema("approvals")
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    first = said()
    comment = Comment(item=first.item, text=first.text, by=ANN, at=first.at, quote="three words here", note="no")
    for line in (HEADER, line_of(first), line_of(comment), line_of(said("withdrawn", note="n", source="page"))):
        check.validate(json.loads(line))
    assert not check.is_valid(json.loads(line_of(first)) | {"text": "sha256:1"})

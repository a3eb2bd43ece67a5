"""Who approved what was merged, as GitHub knows it, and what `approve --merged` records of that."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.ci.github import HostError, MergedPull, merged_pulls
from contentops.digest import NO_TEXT
from contentops.model import Approval, Verdict, text_digest
from contentops.operations.approving import record_merged
from contentops.operations.opening import HERE, open_project
from contentops.state import approvals
from tests.clones import Machine, World, copy_once
from tests.fakes.github import TOKEN, FakeGitHub, Reply
from tests.hubs import client, once
from tests.merges import APPROVALS, MERGES, Desk, make_drafts
from tests.running import Run

MERGE = "fedcba0987654321fedcba0987654321fedcba09"
EARLIER = "0" * 39 + "1"
BLOB = "b" * 40
PAUSES: list[float] = []


@pytest.fixture
def merged(hub: FakeGitHub) -> FakeGitHub:
    """Pull request 7 is merged; it changed one text."""
    hub.merge(7, MERGE)
    hub.files[7] = [{"filename": "out/one.md", "status": "modified", "sha": BLOB}]
    return hub


def ask(hub: FakeGitHub, *commits: str) -> tuple[MergedPull, ...]:
    """The pull requests that were merged into `main` with these commits."""
    return merged_pulls(client(hub), "https://github.example", "main", commits or (MERGE,))


def who(hub: FakeGitHub) -> list[str]:
    """Those whose approvals count."""
    (pull,) = ask(hub)
    return [*pull.approvals]


@pytest.mark.parametrize(("said", "counts"), [
    (["APPROVED", "COMMENTED"], True), (["APPROVED", "CHANGES_REQUESTED"], False), (["APPROVED", "DISMISSED"], False),
    (["CHANGES_REQUESTED", "APPROVED"], True), (["DISMISSED", "APPROVED"], True), (["APPROVED", "LIKED"], False),
    (["COMMENTED"], False), (["PENDING"], False), ([], False),
])  # fmt: skip
def test_the_last_word_of_a_person_counts(merged: FakeGitHub, said: list[str], counts: bool) -> None:
    """A comment is no verdict; a state that is not known is no approval."""
    for minute, state in enumerate(said):
        merged.review(7, "maria" if minute else "Maria", state, minute=minute)
    assert [name.casefold() for name in who(merged)] == (["maria (github.example)"] if counts else [])


@pytest.mark.parametrize(("review", "note"), [
    ({"login": "maria", "commit": EARLIER}, f"`maria` approved {EARLIER[:12]}, not the head commit"),
    ({"login": "helper[bot]", "kind": "Bot"}, "`helper[bot]` is not a person"),
    ({"login": "helper[bot]"}, "`helper[bot]` is not a person"),
    ({"login": "acme", "kind": "Organization"}, "`acme` is not a person"),
    ({"login": "jo <x@y>"}, "`jo <x@y>` is not a person"),
    ({"login": ""}, "`ghost` is not a person"),
    ({"login": "ghost"}, "`ghost` is not a person"),
    ({"login": "reader"}, "`reader` has no write access to the repository"),
    ({"login": "stranger"}, "`stranger` has no write access to the repository"),
])  # fmt: skip
def test_whose_approval_does_not_count(merged: FakeGitHub, review: dict[str, Any], note: str) -> None:
    """An earlier commit, a bot, a deleted account, someone who may only read; the run says why. Others still count."""
    merged.may |= {"reader": "read", "stranger": ""}
    merged.review(7, **review)
    merged.review(7, "jo")
    (pull,) = ask(merged)
    assert (list(pull.approvals), pull.notes) == (["jo (github.example)"], (note,))


def test_an_approval_after_the_last_push_replaces_an_earlier_one(merged: FakeGitHub) -> None:
    """And one of an earlier commit after that of the head commit takes it back: the last word is of other files."""
    merged.review(7, "maria", commit=EARLIER, minute=1)
    merged.review(7, "maria", minute=2)
    assert who(merged) == ["maria (github.example)"]
    merged.review(7, "Maria", commit=EARLIER, minute=3)
    assert who(merged) == []


def test_more_files_than_github_lists(merged: FakeGitHub) -> None:
    """None of them counts, and the run says so."""
    merged.review(7, "maria")
    merged.files[7] = [{"filename": f"out/{n}.md", "status": "added", "sha": BLOB} for n in range(3000)]
    (pull,) = ask(merged)
    assert pull.files == {}
    assert pull.notes == ("GitHub lists 3,000 files of it at most, and there may be more",)


@pytest.mark.parametrize(("path", "answer"), [
    ("pulls/7/reviews", (200, b"<html>", {})), ("pulls/7/reviews", (200, {"message": "hello"}, {})),
    ("pulls/7/reviews", (200, [3], {})), ("pulls/7/files", (200, {}, {})),
    ("collaborators", (403, {"message": "Resource not accessible by integration"}, {})), ("commits", (200, None, {})),
    ("commits", (404, {"message": "Not Found"}, {})), ("commits", (302, None, {"Location": "https://evil.example/"})),
])  # fmt: skip
def test_nonsense_is_an_error(merged: FakeGitHub, path: str, answer: Reply) -> None:
    """Nothing is known then; the token is in no message."""
    merged.review(7, "maria")
    merged.faults.append((path, lambda: answer))
    with pytest.raises(HostError) as caught:
        ask(merged)
    assert caught.value.code == "github"
    assert TOKEN not in caught.value.message


def test_pages_without_an_end(merged: FakeGitHub) -> None:
    """Are given up: a verdict behind them would be overlooked."""
    full = [{"state": "COMMENTED"}] * 100
    merged.faults += [("reviews", lambda: (200, full, {}))] * 60
    with pytest.raises(HostError, match="has more than 5,000 entries"):
        ask(merged)


@pytest.fixture
def desk(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, hub: FakeGitHub) -> Desk:
    """A repository with three texts that wait for approval."""
    copy_once("drafts", tmp_path, lambda folder: make_drafts(invoke, folder, tmp_path_factory), tmp_path_factory)
    return Desk(World(tmp_path, invoke), hub, invoke)


def reword(item: str, words: str = "Readers") -> Callable[[Machine], None]:
    """Someone edits the text of an item."""
    return lambda machine: machine.write(
        f"out/{item}.md", (machine.root / f"out/{item}.md").read_text("utf-8") + f"\n{words}.\n"
    )


def edit(path: str, old: str, new: str) -> Callable[[Machine], None]:
    """Someone edits a part of a file."""
    return lambda machine: machine.edit(path, old, new)


def lines(machine: Machine) -> list[tuple[str, str, str, str]]:
    """Item, person, time and origin of each recorded approval."""
    found = approvals.load(machine.root, Disk()).lines
    assert {line.verdict for line in found} <= {Verdict.APPROVED}
    return [(line.item, line.by, line.at, line.source) for line in found]


ONE = ("one", "maria (github.example)", "2026-03-01T11:00:00Z", "https://github.example/acme/blog/pull/7")


@pytest.mark.parametrize("how", MERGES)
def test_a_merged_approval_is_recorded(desk: Desk, how: str) -> None:
    """Bound to the text, with the person and the pull request; the draft mark goes; a second run records nothing.

    The commits of a fork, or of a branch that is deleted, are not needed.
    """
    head = desk.approved(7, reword("one"), reword("one", "Again"), how=how)
    runner = desk.runner()
    ended = desk.record(runner)
    assert lines(runner) == [ONE]
    assert "draft: true" not in (runner.root / "out/one.md").read_text("utf-8")
    assert "draft: true" in (runner.root / "out/two.md").read_text("utf-8")
    assert "Pull request 7 was approved by maria (github.example)." in ended.stdout
    before = (runner.root / APPROVALS).read_bytes()
    again = desk.record(runner, "--json").json
    assert (again["items"], (runner.root / APPROVALS).read_bytes()) == ([], before)
    assert TOKEN not in ended.stdout + ended.stderr
    runner.git("cat-file", "-e", head, code=0 if how == "merge" else 1)


def test_the_words_of_a_review_are_the_note_that_an_approval_needs(desk: Desk) -> None:
    """Without words it does not count, and the run says so."""
    desk.approved(7, reword("one"), edit("contentops.yaml", "approval: required", "approval: {note: required}"))
    runner = desk.runner()
    assert "pull request 7: no review of it has a note, which `one` needs" in desk.record(runner).stdout
    assert lines(runner) == []
    desk.hub.review(7, "jo", body=" Read it,\nfigures are right. ")
    desk.record(runner)
    (line,) = approvals.load(runner.root, Disk()).lines
    assert (line.by, line.note) == ("jo (github.example)", "Read it, figures are right.")


def test_results_that_come_as_a_pull_request_end(desk: Desk) -> None:
    """Of a protected branch: who approves the text without its mark has approved these words before."""
    desk.approved(7, reword("one"))
    runner = desk.runner()
    desk.record(runner)
    names = (APPROVALS, "out/one.md", "contentops.lock", ".gitattributes")
    results = {name: (runner.root / name).read_text("utf-8") for name in names}

    def change(author: Machine) -> None:
        for name, text in results.items():
            author.write(name, text)

    desk.propose(8, change)
    desk.hub.review(8, "maria", minute=30)
    desk.merge(8)
    after = desk.runner("after")
    found = desk.record(after, "--json").json
    assert (found["items"], found["notes"], after.git("status", "--porcelain")) == ([], [], "")


@pytest.mark.parametrize("before", ["0" * 40, None])
def test_each_pull_request_since_the_push_began(desk: Desk, before: str | None) -> None:
    """Of several merges all are asked for, where the event says where the push began; else the last one alone."""
    desk.approved(7, reword("one"), how="merge")
    start = desk.before
    desk.propose(8, reword("two"))
    desk.hub.review(8, "jo", minute=3)
    desk.merge(8, "rebase")
    runner = desk.runner()
    desk.record(runner, before=start if before is None else before)
    assert [line[:2] for line in lines(runner)] == [
        *([("one", "maria (github.example)")] if before is None else []),
        ("two", "jo (github.example)"),
    ]


@pytest.mark.parametrize(("depth", "recorded"), [(1, []), (2, [ONE])])
def test_a_shallow_clone_looks_at_the_last_merge(desk: Desk, depth: int, recorded: list[object]) -> None:
    """And says what to do where it lacks the texts before the merge."""
    desk.approved(7, reword("one"))
    runner = desk.runner("runner", f"--depth={depth}")
    notes = desk.record(runner, "--json", before="e" * 40).json["notes"]
    assert (lines(runner), ["fetch-depth: 0" in note for note in notes]) == (recorded, [True] * (depth == 1))


def move(machine: Machine) -> None:
    """The text gets another path."""
    machine.git("mv", "out/one.md", "out/uno.md")
    machine.edit("content/blog.yaml", "id: one\n", "id: one\n    output: out/uno.md\n")


@pytest.mark.parametrize(("words", "why"), [
    ("> Draft outline, made offline.", "is a draft outline of the bundled server"),
    ("A\u202eb", "has characters that no one sees"),
])  # fmt: skip
def test_texts_that_no_review_approves(desk: Desk, words: str, why: str) -> None:
    """Outlines and hidden words are named, and the others are recorded."""
    desk.approved(7, edit("out/one.md", "## ", f"{words}\n\n## "), reword("three"), how="merge")
    runner = desk.runner()
    (note,) = desk.record(runner, "--json").json["notes"]
    assert f"pull request 7: `out/one.md` {why}" in note
    assert [line[0] for line in lines(runner)] == ["three"]


@pytest.mark.parametrize(("how", "change", "note"), [
    ("merge", edit("out/one.md", "draft: true\n", "draft: true\nlayout: wide\n"), "pull request 8 changed no word of `out/one.md`; approve it with `contentops approve one`"),
    ("squash", move, "pull request 8 changed no word of `out/uno.md`; approve it with `contentops approve one`"),
    ("rebase", edit("out/one.md", "title: ", "title: More on "), ""),
])  # fmt: skip
def test_only_texts_whose_words_it_changed(desk: Desk, how: str, change: Callable[[Machine], None], note: str) -> None:
    """The words of an earlier pull request that no one approved are not on the page of a later one."""
    desk.propose(7, reword("one"))
    desk.merge(7, how)
    desk.approved(8, change, reword("three"), how=how)
    runner = desk.runner()
    notes = desk.record(runner, "--json").json["notes"]
    assert notes == ([f"{note} at a terminal"] if note else [])
    assert [line[0] for line in lines(runner)] == ["three"] if note else ["one", "three"]


@pytest.mark.parametrize(
    "earlier", ["---\ntitle: [\n---\n", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n"]
)
def test_an_earlier_text_that_cannot_be_read(desk: Desk, earlier: str) -> None:
    """It may have had the same words: nothing is recorded, and the run says so."""
    before: list[str] = []

    def damage(machine: Machine) -> None:
        before.append((machine.root / "out/one.md").read_text("utf-8"))
        machine.write("out/one.md", earlier)

    desk.propose(7, damage)
    desk.merge(7)
    desk.approved(8, lambda machine: machine.write("out/one.md", before[0]))
    runner = desk.runner()
    (note,) = desk.record(runner, "--json").json["notes"]
    assert "replaced a text that cannot be read, `out/one.md`; approve it with `contentops approve one`" in note
    assert lines(runner) == []


@pytest.mark.parametrize("when", ["in the merge", "after it", "on the runner"])
def test_a_text_that_is_another_one_by_now(desk: Desk, when: str) -> None:
    """It changed on main meanwhile, or after the merge, or is edited here: no one approved these words. Others count."""
    change = edit("out/one.md", "## Introduction", "## A start")
    desk.approved(7, reword("one"), reword("two"), how="merge", also=change if when == "in the merge" else None)
    if when == "after it":
        desk.world.other("out/one.md", "## A start", "## Introduction")
    runner = desk.runner()
    if when == "on the runner":
        change(runner)
    notes = desk.record(runner, "--json").json["notes"]
    assert notes == ["pull request 7: `out/one.md` is not as it was approved: it changed at the merge or after it"]
    assert [line[0] for line in lines(runner)] == ["two"]


def test_files_that_are_renamed_removed_or_no_texts(desk: Desk) -> None:
    """A text that the pull request reworded and moved counts where its item has it then; the others are no texts of items."""

    def change(machine: Machine) -> None:
        machine.write("content/extra.md", "no output")
        reword("one")(machine)
        move(machine)
        machine.git("rm", "--quiet", "out/two.md")

    desk.approved(7, change)
    runner = desk.runner()
    assert [item["id"] for item in desk.record(runner, "--json").json["items"]] == ["one"]


def test_a_pull_request_that_writes_verdicts_itself(desk: Desk) -> None:
    """What main has counts; what it had before the merge does not."""

    def forge(machine: Machine) -> None:
        text = text_digest("Two", text_digest("", NO_TEXT))
        line = {"item": "two", "text": text, "verdict": "approved", "by": "Boss <boss@x.example>"}
        approvals.record(machine.root, Disk(), [Approval(**line, at="2026-01-01T00:00:00Z")])  # type: ignore[arg-type]

    desk.approved(7, forge, reword("one"))
    desk.world.other(APPROVALS, '{"contentops_approvals":1}\n')
    runner = desk.runner()
    desk.record(runner)
    assert lines(runner) == [ONE]


def test_a_project_below_the_root_of_the_repository(desk: Desk, invoke: Run) -> None:
    """The host names files by their paths in the repository."""

    def move(machine: Machine) -> None:
        (machine.root / "site").mkdir()
        machine.git("mv", ".gitattributes", "contentops.yaml", "contentops.lock", "content", "out", "site")

    desk.propose(7, move)
    desk.merge(7)
    desk.approved(8, edit("site/out/one.md", "## Introduction", "## A start"))
    runner = desk.runner()
    ended = invoke("-C", "site", "approve", "--merged", "--json", cwd=runner.root, env=desk.job(runner))
    assert [item["id"] for item in ended.json["items"]] == ["one"], ended.stderr
    assert (runner.root / "site" / APPROVALS).is_file()


def test_texts_for_another_environment(desk: Desk) -> None:
    """The environment that asks for approvals finds them in the one that it takes its texts from."""
    machine = desk.runner("stage")
    prod = '"staging/{{ item.id }}.md"}, prod: {promote_from: staging, output: "live/{{ item.id }}.md", defaults: '
    machine.edit("contentops.yaml", ", approval: required", "")
    machine.edit("contentops.yaml", '"staging/{{ item.id }}.md"}', prod + "{approval: required}}")
    machine.git("commit", "--quiet", "--all", "--message=Prod")
    machine.git("push", "--quiet")
    machine.apply("--env", "staging")
    machine.commit("--env", "staging")
    desk.approved(7, edit("staging/one.md", "> Draft outline", "> A start"))
    runner = desk.runner()
    assert "nothing to record" in desk.record(runner, "--env", "staging").stdout
    found = desk.record(runner, "--env", "prod", "--json").json
    assert [(item["id"], item["by"]) for item in found["items"]] == [("one", "maria (github.example)")]
    runner.apply("--env", "prod", "--drafts")
    assert [path.name for path in (runner.root / "live").iterdir()] == ["one.md"]


@pytest.mark.parametrize(("path", "answer"), [
    ("compare", once(502)), ("reviews", lambda: (200, b"<html>", {})), ("permission", once(403, "not accessible")),
])  # fmt: skip
def test_nothing_is_recorded_where_the_host_does_not_say(desk: Desk, path: str, answer: Callable[[], Reply]) -> None:
    """Of none of the pull requests, whichever answer is missing; the run fails with its reason."""
    start = desk.world.tip()
    for number, item in ((7, "one"), (8, "two")):
        desk.approved(number, reword(item))
    # The first pull request is answered for.
    desk.hub.faults += [(path, lambda: None)] + [(path, answer)] * 4
    machine = desk.runner()
    tree = machine.git("status", "--porcelain")
    with pytest.raises(HostError) as caught:
        record_merged(
            open_project(str(machine.root), "", ()),
            pause=PAUSES.append,
            runtime=structs.replace(HERE, environ=desk.job(machine, start)),
        )
    assert TOKEN not in caught.value.message
    assert machine.git("status", "--porcelain") == tree


def test_a_project_without_approvals_asks_no_one(first: Machine, hub: FakeGitHub, invoke: Run) -> None:
    """It needs no token and no permission for it."""
    ended = invoke("approve", "--merged", cwd=first.root, env={"CI": "true"})
    assert (ended.code, hub.asked) == (0, [])
    assert ended.stdout == "No item of this project requires approval; nothing to record.\n"


def test_mistakes(desk: Desk, invoke: Run) -> None:
    """Are said by name, with 64."""
    machine = desk.runner()
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["one"], {"GITHUB_REPOSITORY": "acme/blog"}, "leave out the rest"),
        (["--note", "x"], {"GITHUB_REPOSITORY": "acme/blog"}, "leave out the rest"),
        ([], {"CI": "true", "GITHUB_REPOSITORY": "", "GITHUB_TOKEN": "t"}, "error[no-github-repository]"),
        ([], {"GITHUB_REPOSITORY": "acme/blog", "GITHUB_TOKEN": ""}, "error[no-token]"),
    ]
    for arguments, env, words in cases:
        ended = invoke("approve", "--merged", *arguments, cwd=machine.root, env=env)
        assert (ended.code, words in ended.stderr) == (64, True), ended.stderr

"""Every row of the table, the other three questions, and what must hold for all situations."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import NOTHING, digest_text
from contentops.documents.clean import body_digest
from contentops.errors import Diagnostic, Severity, UsageError
from contentops.model import (
    Action,
    ApiSettings,
    Approval,
    ApprovalRule,
    Approvals,
    Budget,
    Change,
    Disclosure,
    ItemId,
    JobState,
    Json,
    Observed,
    OnEdit,
    Record,
    Remote,
    Save,
    Spec,
    Verdict,
    text_digest,
)
from contentops.model.records import OPEN
from contentops.planning.approval import coming_front
from contentops.planning.edits import Answer
from contentops.planning.plan import make_plan
from contentops.planning.sides import ItemSides
from contentops.planning.table import decide
from tests.fakes.sides import (
    PROJECT,
    SERVER,
    TEXT,
    a_file,
    a_finished,
    a_job,
    a_record,
    a_remote,
    a_situation,
    a_spec,
    only_change,
    plan_of,
    stated,
)

GENERATE = ("submit", "poll", "write", "save")


# --- which body --------------------------------------------------------------------------------------------


X, Y = a_spec(topic="x"), a_spec(topic="y")
OLD, MADE, HAND = a_record(X), a_file("out/a.md"), a_file("out/a.md", body="By hand.\n")
PAID, LOST = a_job(Y, JobState.PAID, body=body_digest("New.\n")), a_job(Y, JobState.UNKNOWN)
OURS = a_file("out/a.md", owner="a", provenance={"item": "a", "digest": X.digest})
LOCAL = structs.replace(PROJECT, api=ApiSettings(base_url="local"))
BROKEN = Observed(path="out/a.md", problem="`out/a.md` is not UTF-8; save it as UTF-8")
MOVED = a_spec(topic="x", output="out/new.md")
OTHER = a_spec("b")
WRONG = a_spec(topic="x", trouble=(Diagnostic(code="wrong-value", message="`inputs.topic` is too long"),))
TEXT_OF_X = {"jobs": [a_finished(X)]}
TEXT_OF_Y = {"jobs": [a_finished(Y, "Earlier.\n")]}
FAILED_TWICE = [a_job(X, JobState.FAILED, attempt=attempt) for attempt in (1, 2)]
SAVED_BY_HAND = a_record(X, saved="By hand.\n")
NOWHERE = structs.replace(a_record(X, saved=None), request_id="")
PROTECTED = stated(a_spec(topic="x", protected=True), "protected")
STAGING = {"out/a.md": "contentops.staging.lock"}


def case(id_: str, specs: Any, records: Any, files: Any, *expected: Any, **options: Any) -> Any:
    """One row: the sides, the action (or what blocks), the steps, and if they matter credits, attempt and a hint."""
    return pytest.param({"specs": specs, "records": records, "files": files, **options}, expected, id=id_)


@pytest.mark.parametrize(("sides", "expected"), [
    case("new", [X], [], [], "create", GENERATE, 4, 1),
    case("new, on the embedded server", [X], [], [], "create", GENERATE, 0, project=LOCAL),
    case("new, at a file of no one", [X], [], [MADE], "foreign-file", (), 0),
    case("new, at a file of no one: overwrite", *([X], [], [MADE], "overwrite", GENERATE), on_edit=OnEdit.OVERWRITE),
    case("new, at a file written for this request", [X], [], [OURS], "keep", ("record", "save"), 0),
    case("new, and failed once", [X], [], [], "create", GENERATE, 4, 2, open_jobs=FAILED_TWICE[:1]),
    case("new, and failed twice", [X], [], [], "failed-twice", (), 0, open_jobs=FAILED_TWICE, hint="--replace a"),
    case("failed twice, and running elsewhere", *([X], [], [], "finish", ("poll", "write", "save"), 0), open_jobs=FAILED_TWICE, jobs=[a_job(X, attempt=3)]),
    case("asked for after two failures", [X], [], [], "create", GENERATE, 4, 3, open_jobs=FAILED_TWICE, replace=("a",)),
    case("changed, missing, saved", [Y], [OLD], [], "regenerate", GENERATE),
    case("changed, missing, not saved", [Y], [a_record(X, saved=None)], [], "missing", ()),
    case("changed, missing, never generated", [Y], [a_record(X, body="", saved=None)], [], "missing", ()),
    case("its manifest keeps", [a_spec(topic="y", on_edit=OnEdit.KEEP)], [OLD], [HAND], "keep", ("record", "save")),
    case("replaced", [X], [OLD], [MADE], "regenerate", GENERATE, 4, 2, replace=("a",), **TEXT_OF_X),
    case("replaced already", *([X], [OLD], [MADE], "finish", ("poll", "write", "save"), 0, 2), open_jobs=[a_job(X, attempt=2)], replace=("a",)),
    case("running", [Y], [], [], "finish", ("poll", "write", "save"), 0, open_jobs=[a_job(Y)]),
    case("paid", [Y], [], [], "finish", ("fetch", "write", "save"), 0, open_jobs=[PAID]),
    case("paid and edited", [Y], [OLD], [HAND], "edited", ("drain",), 0, open_jobs=[a_job(Y)]),
    case("paid and in the file", *([Y], [], [a_file("out/a.md", body="New.\n")], "finish", ("fetch", "write", "save"), 0), open_jobs=[PAID]),
    case("paid for what was asked before", [X], [], [], "create", GENERATE, 4, open_jobs=[PAID]),
    case("being submitted", *([Y], [], [], "resolve", ("look up", *GENERATE), 4, 1), open_jobs=[a_job(Y, JobState.SUBMITTING)]),
    case("lost", [Y], [], [], "resolve", ("look up", *GENERATE), 4, 1, open_jobs=[LOST]),
    case("lost, on a server with its own ids", [Y, OTHER], [a_record(OTHER)], [a_file(OTHER.output)], "resolve", ("look up", "poll", "write", "save"), 0, open_jobs=[LOST], jobs=[a_finished(OTHER)]),
    case("new, with a text that is paid for", [Y], [], [], "finish", ("fetch", "write", "save"), 0, **TEXT_OF_Y),
    case("in the cache", [Y], [OLD], [MADE], "finish", ("fetch", "write", "save"), 0, **TEXT_OF_Y),
    case("in the cache, and lost elsewhere", *([Y], [OLD], [MADE], "finish", ("fetch", "write", "save"), 0), jobs=[a_finished(Y, "Earlier.\n"), LOST]),
    case("in the cache, edited", [Y], [OLD], [HAND], "edited", (), **TEXT_OF_Y),
    case("in the cache: keep", [Y], [OLD], [HAND], "keep", ("record", "save"), on_edit=OnEdit.KEEP, **TEXT_OF_Y),
    case("in the cache: overwrite", *([Y], [OLD], [HAND], "finish", ("fetch", "write", "save"), 0), on_edit=OnEdit.OVERWRITE, **TEXT_OF_Y),
    case("missing, in the cache", [X], [OLD], [], "restore", ("fetch", "write"), 0, **TEXT_OF_X),
    case("missing, never saved", *([X], [a_record(X, saved=None)], [], "restore", ("fetch", "write", "save")), **TEXT_OF_X),
    case("missing, saved under another title", *([X], [structs.replace(OLD, title="Another")], [], "restore", ("fetch", "write", "save"))),
    case("missing, and its text is nowhere", [X], [NOWHERE], [], "text-lost", (), hint="--replace a"),
    case("gone: prune", [], [OLD], [MADE], "remove", ("remove",), prune=True),
    case("gone and edited: prune", [], [OLD], [HAND], "edited", (), prune=True),
    case("gone and given another title: prune", [], [OLD], [structs.replace(MADE, title="Mine")], "edited", (), prune=True),
    case("gone with an open job", [], [], [], "drain", ("drain",), open_jobs=[a_job(X)]),
    case("protected now", [PROTECTED], [OLD], [MADE], "update", ("record",)),
    case("unreadable", [X], [OLD], [BROKEN], "unreadable-file", (), hint=BROKEN.problem),
    case("of another environment", *([X], [], [], "owned-elsewhere", ()), claimed_paths=STAGING, hint="contentops.staging.lock"),
    case("of another environment, with a wrong request", [WRONG], [], [], "owned-elsewhere", (), claimed_paths=STAGING),
    case("with a wrong request", [WRONG], [OLD], [MADE], "wrong-reference", ()),
    case("moved by a run that was interrupted", [MOVED], [OLD], [a_file("out/new.md")], "move", ("move",), 0),
    case("moved and edited", [MOVED], [SAVED_BY_HAND], [HAND], "move", ("move",), 0),
    case("moved onto a file of no one", *([MOVED], [OLD], [MADE, a_file("out/new.md", body="Other.\n")], "foreign-file", ())),
])  # fmt: skip
def test_a_row_of_the_table(sides: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """What is done to an item, or what blocks it, in which steps and at which price."""
    hint = sides.get("hint", "")
    change = only_change(**{key: value for key, value in sides.items() if key != "hint"})
    actual = (change.blocked or str(change.action), change.names, change.credits, change.attempt)
    assert actual[: len(expected)] == expected
    assert hint in change.hint


@pytest.mark.parametrize(("words", "blocked"), [("By hand.\n", "text-in-git"), (TEXT, "")])
def test_a_missing_file_is_not_restored_over_words_that_git_has(words: str, blocked: str) -> None:
    """An earlier text would replace what a person wrote and committed."""
    inputs = structs.replace(a_situation([X], [OLD]), committed=lambda _: body_digest(words))
    (change,) = make_plan(inputs).changes
    assert (change.blocked, bool(change.steps)) == (blocked, not blocked)


@pytest.mark.parametrize(("sides", "actions", "notes"), [
    ({"specs": [X], "open_jobs": [LOST]}, ["create"], ["unknown-outcome"]),
    ({"specs": [], "records": [OLD], "files": [MADE]}, [], ["orphan"]),
    ({"specs": [PROTECTED], "records": [a_record(Y, protected=True)], "files": [MADE], "replace": ("a",)}, [], ["protected"]),
], ids=["lost for another request", "orphan", "protected and changed"])  # fmt: skip
def test_what_is_only_a_note(sides: dict[str, Any], actions: list[str], notes: list[str]) -> None:
    """An unknown submit blocks only its own request; nothing is deleted silently; a protected text stays."""
    plan = plan_of(**sides)
    assert ([change.action for change in plan.changes], [note.kind for note in plan.notes]) == (actions, notes)


def test_which_file_left_behind_is_an_items_does_not_hang_on_the_order_of_entries() -> None:
    """A journal and a ledger tell of them in the order in which they came."""
    spec, words = a_spec("new"), body_digest("Paid for.\n")
    gone = [structs.replace(spec, id=ItemId(name), output=f"out/{name}.md") for name in ("one", "two")]
    jobs = [a_job(each, JobState.PAID, output=each.output, body=words) for each in gone]
    files = [a_file(each.output, body="Paid for.\n") for each in gone]
    one, other = (plan_of([spec], files=files, open_jobs=each) for each in (jobs, jobs[::-1]))
    assert (one.changes, one.changes[0].source) == (other.changes, "out/one.md")


def test_a_new_item_at_the_path_of_an_orphan_is_told_what_frees_it() -> None:
    """`--prune` forgets the orphan and leaves the file, so it is not offered as a way to be rid of that."""
    orphan, new = a_spec("a", output="out/x.md"), a_spec("b", topic="y", output="out/x.md")
    plan = plan_of([new], [a_record(orphan)], [a_file("out/x.md")], prune=True)
    gone, held = plan.changes
    assert (gone.action, gone.target) == (Action.REMOVE, "")
    assert (held.action, held.blocked) == (Action.BLOCKED, "foreign-file")
    assert "`moved: [{from: a, to: b}]` transfers the file" in held.hint
    assert "`--prune` leaves it there" in held.hint


def test_protection_outlives_its_manifest_line_until_false_is_applied() -> None:
    """Deleting the line does not lift protection; stating `false` does."""
    old, new = a_spec(topic="x"), a_spec(topic="y")
    record = a_record(old, protected=True)
    assert plan_of([new], [record], [a_file(new.output)]).changes == ()
    assert plan_of([], [record], [a_file(new.output)], prune=True).changes == ()
    lifted = only_change([stated(new, "protected")], [record], [a_file(new.output)])
    assert lifted.action is Action.REGENERATE


# --- path, front matter, save ------------------------------------------------------------------------------


def _placed(**outputs: str) -> tuple[list[Spec], list[Record], list[Observed]]:
    """Items that stand at `out/ID.md` and are declared at another path."""
    specs = [a_spec(id_, topic=id_) for id_ in outputs]
    wanted = [structs.replace(spec, output=outputs[spec.id]) for spec in specs]
    files = [a_file(spec.output, body=f"{spec.id}\n") for spec in specs]
    return wanted, [a_record(spec, body=f"{spec.id}\n", saved=f"{spec.id}\n") for spec in specs], files


@pytest.mark.parametrize(("outputs", "ring"), [
    ({"a": "out/b.md", "b": "out/a.md"}, "`out/a.md` -> `out/b.md` -> `out/a.md`"),
    ({"a": "out/B.md", "b": "out/A.md"}, "`out/a.md` -> `out/b.md` -> `out/a.md`"),
    ({"a": "out/c.md", "b": "out/a.md", "c": "out/b.md"}, "`out/a.md` -> `out/c.md` -> `out/b.md` -> `out/a.md`"),
], ids=["swap", "another case", "three"])  # fmt: skip
def test_a_ring_of_outputs_is_refused_by_name(outputs: dict[str, str], ring: str) -> None:
    """No file could go first; who waits for one of the ring waits, and all others move."""
    plan = plan_of(*_placed(**outputs, y="out/a.md", z="out/new.md"))
    held = {change.id: change.blocked for change in plan.changes}
    assert held == {**dict.fromkeys(outputs, "output-ring"), "y": "foreign-file", "z": ""}
    assert ring in plan.changes[0].hint
    said = {change.id: [(reason.kind, reason.after) for reason in change.reasons] for change in plan.changes}
    assert said == {id_: [("moved", change.target)] for id_, change in zip(said, plan.changes, strict=True)}


def test_many_rings_and_a_long_chain_are_told_apart_at_once() -> None:
    """Whatever waits for a place that is not free waits, and time grows with the number of moves alone."""
    swaps = {f"a{number:05}": f"out/a{number ^ 1:05}.md" for number in range(200)}
    chain = {f"b{number:05}": f"out/b{number + 1:05}.md" for number in range(200)}
    wanted, records, files = _placed(**swaps, **chain)
    plan = plan_of(wanted, records, [*files, a_file("out/b00200.md", body="another\n")])
    held = {change.id: change.blocked for change in plan.changes}
    assert held == {**dict.fromkeys(swaps, "output-ring"), **dict.fromkeys(chain, "foreign-file")}


TAG_A, TAG_B, BETTER = {"tags": ["a"]}, {"tags": ["b"]}, {"title": "Better"}
DATED = {**TAG_B, "date": "2026-03-01"}


@pytest.mark.parametrize(("metadata", "file", "changes", "notes"), [
    ((TAG_A, DATED), {"front": {**TAG_A, "own": 1}}, [(("update",), DATED, None)], []),
    ((TAG_A, TAG_B), {"front": TAG_B}, [(("record",), TAG_B, None)], []),
    ((TAG_A, TAG_B), {"front": {"tags": ["mine"]}}, [], ["kept-front-matter"]),
    (({}, BETTER), {}, [(("update", "save"), {}, "Better")], []),
    (({}, BETTER), {"title": "Mine"}, [(("save",), {}, None)], ["kept-front-matter"]),
], ids=["changed", "changed in the file alike", "changed by a person", "a title", "a person's title"])  # fmt: skip
def test_front_matter(metadata: tuple[Any, Any], file: dict[str, Any], changes: list[Any], notes: list[str]) -> None:
    """Metadata is free and touches its keys alone; a value that a person changed stays, and is noted."""
    old, new = (a_spec(metadata=each) for each in metadata)
    plan = plan_of([new], [a_record(old)], [a_file(old.output, **file)])
    assert [(change.names, change.front, change.title) for change in plan.changes] == changes
    assert [note.kind for note in plan.notes] == notes


# --- moved -------------------------------------------------------------------------------------------------


def test_a_job_that_no_item_wants_is_collected() -> None:
    """Its item is gone, and who declares its request has a text for it, or is protected."""
    old, one = a_spec("a"), a_spec("b")
    protected = a_record(a_spec("b", topic="earlier"), protected=True)
    for record in (a_record(one), protected):
        change = only_change([one], [record], [a_file(one.output)], open_jobs=[a_job(old)])
        assert (change.id, change.action) == ("b", Action.DRAIN)
    gone = only_change([], open_jobs=[a_job(old)])
    assert (gone.id, gone.action) == ("a", Action.DRAIN)


@pytest.mark.parametrize("record", ["changed", "draft of the new", "draft of the old"])
def test_what_is_open_of_a_gone_item_answers_a_text_that_is_to_change(record: str) -> None:
    """Also where an item before it has nothing to do, and where the embedded server made the text that is there."""
    aside, old, new = a_spec("aa", topic="aside"), a_spec("a"), a_spec("b")
    known = {
        "changed": a_record(a_spec("b", topic="earlier")),
        "draft of the new": a_record(new, server="local", outline=True),
        "draft of the old": a_record(old, server="local", outline=True),
    }[record]
    files = [a_file(aside.output), a_file(known.output)]
    change = only_change([aside, new], [a_record(aside), known], files, open_jobs=[a_job(old)])
    assert (change.id, change.action, change.submits) == ("b", Action.FINISH, 0)


# --- reasons, guards, selection ----------------------------------------------------------------------------


OLD_SERVER = "https://old.example.test:443"
DRAFTS = [a_spec(f"d{n}", topic=f"draft {n}") for n in range(10)]


@pytest.mark.parametrize(("sides", "refusals"), [
    (
        {
            "specs": [a_spec("a"), a_spec("b", topic="y")],
            "project": structs.replace(PROJECT, budget=Budget(credits_per_apply=7, items_per_apply=1)),
        },
        [("budget-credits", "--approve-credits 8"), ("budget-items", "--approve-credits 8")],
    ),
    ({"specs": [], "records": [OLD], "files": [MADE], "prune": True}, [("empty", "--approve-empty")]),
    ({"specs": [X], "records": [a_record(X, server=OLD_SERVER)], "files": [MADE]}, [("server-changed", f"contentops state mv --server {OLD_SERVER} {SERVER}")]),
    ({"specs": DRAFTS, "records": [a_record(spec, server="local", outline=True) for spec in DRAFTS], "files": [a_file(spec.output) for spec in DRAFTS]}, []),
], ids=["over budget", "no manifests", "another server", "drafts alone"])  # fmt: skip
def test_guards_name_their_flags(sides: dict[str, Any], refusals: list[tuple[str, str]]) -> None:
    """Each guard that would refuse a plan, and what overrides it."""
    assert [(refusal.guard, refusal.flag) for refusal in plan_of(**sides).refusals] == refusals


@pytest.mark.parametrize(("changed", "guards"), [(3, []), (4, ["changed-ratio"])])
@pytest.mark.parametrize("drafts", [0, 10], ids=["", "beside drafts"])
def test_the_ratio_itself_is_within_it_and_drafts_do_not_count(changed: int, guards: list[str], drafts: int) -> None:
    """Of ten recorded items three may change at 30 %; records of the embedded server are on neither side."""
    local = [a_spec(f"d{n}", topic=f"draft {n}") for n in range(drafts)]
    specs = [a_spec(f"i{n}", topic=f"old {n}") for n in range(10)]
    wanted = [a_spec(f"i{n}", topic=f"{'new' if n < changed else 'old'} {n}") for n in range(10)]
    records = [*(a_record(spec) for spec in specs), *(a_record(spec, server="local", outline=True) for spec in local)]
    plan = plan_of([*wanted, *local], records, [a_file(spec.output) for spec in (*specs, *local)])
    assert [change.action for change in plan.changes] == [Action.REGENERATE] * (changed + drafts)
    assert [refusal.guard for refusal in plan.refusals] == guards


@pytest.mark.parametrize(("choice", "ids"), [
    ({"select": ("a*",)}, ["a1", "a2"]), ({"select": ("tag:news",)}, ["b1"]), ({"exclude": ("a1",)}, ["a2", "b1"]),
    ({"select": ("template:blog*",), "exclude": ("path:out/b*",)}, ["a1", "a2"]),
    ({"select": ("state:new",)}, ["a1", "a2", "b1"]), ({"select": ("state:edited",)}, []),
], ids=str)  # fmt: skip
def test_selection(choice: dict[str, tuple[str, ...]], ids: list[str]) -> None:
    """Select is a union, exclude takes away."""
    specs = [a_spec("a1"), a_spec("a2", topic="y"), a_spec("b1", topic="z", tags=("news",))]
    assert [change.id for change in plan_of(specs, **choice).changes] == ids


@pytest.mark.parametrize("option", ["select", "exclude"])
@pytest.mark.parametrize(("pattern", "hint"), [
    pytest.param("onee", "did you mean `one`, `gone` or `one-more`?", id="an item"),
    pytest.param("gonne", "did you mean `gone` or `one`?", id="a record"),
    pytest.param("on[f]", "did you mean `one`?", id="a glob"),
    pytest.param("zzz", "`contentops status` lists the items", id="near nothing"),
    pytest.param("launch", "did you mean `tag:launch`?", id="a tag without its method"),
    pytest.param("tag:lanch", "did you mean `tag:launch`?", id="a tag"),
    pytest.param("tag:zzz", "there are `launch`, `pillar`", id="no tag"),
    pytest.param("one,gone", "a comma does not separate patterns: write `--OPTION one --OPTION gone`", id="a list"),
    pytest.param("{one,gone}", "braces and commas are not supported: write `--OPTION` once per pattern", id="braces"),
])  # fmt: skip
def test_a_pattern_that_fits_nothing_names_what_is_near(option: str, pattern: str, hint: str) -> None:
    """What is misspelt is no silent success, and no apply of everything; not even beside one that fits."""
    specs = [a_spec("one", tags=("launch",)), a_spec("one-more", tags=("pillar",))]
    for patterns in ((pattern,), ("one*", pattern)):
        with pytest.raises(UsageError) as caught:
            plan_of(specs, [a_record(a_spec("gone", topic="y"))], **{option: patterns})
        assert caught.value.message == f"`--{option} {pattern}` matches no item"
        assert caught.value.hint == hint.replace("OPTION", option)


@pytest.mark.parametrize(
    ("old", "records", "said"),
    [
        ("ai-guid", {"ai-guide": {}}, True),
        # Applied long ago; or nothing that it could have meant is there.
        ("ai-guid", {"ai-guide": {}, "adoption": {}}, False),
        ("ai-guid", {"zzz": {}}, False),
        ("ai-guid", {}, False),
        # It names something, and so it is applied.
        ("ai-guide", {"ai-guide": {}}, False),
    ],
)
def test_a_moved_pair_that_misses_an_orphan_is_a_warning(old: str, records: dict[str, Any], said: bool) -> None:
    """Its item would be paid for as a new one, beside the text that it was meant to take along."""
    made = [a_record(a_spec(name, topic=f"of {name}")) for name in records]
    plan = plan_of([a_spec("adoption")], made, moved={old: "adoption"})
    found = [(one.code, one.severity, one.hint) for one in plan.findings]
    hint = "did you mean `ai-guide`? as written, `adoption` is generated as a new item"
    assert found == ([("moved-from-nothing", Severity.WARNING, hint)] if said else [])


@pytest.mark.parametrize(("choice", "bad", "hint"), [
    ("select", "tga:x", "tag:"), ("select", "state:nwe", "state:new"), ("replace", "helo", "`hello`"),
    ("select", "tag:launch", "no item has `tags`; those in `metadata` are front matter"),
])  # fmt: skip
def test_what_names_no_item_is_refused_with_the_nearest_name(choice: str, bad: str, hint: str) -> None:
    """A selector that cannot mean anything, an unknown item, and tags of `metadata`, which are for the site."""
    with pytest.raises(UsageError) as caught:
        plan_of([a_spec("hello", metadata={"tags": ["launch"]})], **{choice: (bad,)})
    assert hint in caught.value.hint


# --- for all situations ------------------------------------------------------------------------------------

topics = st.sampled_from(["x", "y"])
bodies = st.sampled_from(["Generated text.\n", "By hand.\n"])
THERE = (
    a_remote(), a_remote(body="By hand.\n"), a_remote(body="Theirs.\n"), a_remote(title="Theirs"),
    Remote(content_id="cnt_1", deleted=True), Remote(content_id="cnt_1", problem="403"),
)  # fmt: skip


@st.composite
def situations(draw: st.DrawFn) -> object:
    """Any mix of declared, recorded, present, edited, open and gone items."""
    specs, records, files, jobs = [], [], [], []
    remote: dict[str, Remote] = {}
    for id_ in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        wanted = a_spec(id_, topic=draw(topics), on_edit=draw(st.sampled_from(OnEdit)))
        made = a_spec(id_, topic=draw(topics), output=draw(st.sampled_from([wanted.output, f"old/{id_}.md"])))
        if draw(st.booleans()):
            specs.append(wanted)
        if draw(st.booleans()):
            records.append(a_record(made, saved=draw(st.sampled_from([None, "Generated text.\n", "By hand.\n"]))))
        if draw(st.booleans()):
            files.append(a_file(draw(st.sampled_from([made.output, wanted.output])), body=draw(bodies)))
        if draw(st.booleans()):
            jobs.append(
                a_job(draw(st.sampled_from([wanted, made])), draw(st.sampled_from(sorted(OPEN | {JobState.FAILED}))))
            )
        if draw(st.booleans()):
            remote[id_] = draw(st.sampled_from(THERE))
    flags: dict[str, Any] = {"prune": draw(st.booleans())}
    return a_situation(specs, records, files, open_jobs=jobs, remote=draw(st.sampled_from([None, remote])), **flags)


@given(situations())
def test_every_situation_has_one_plan(s: object) -> None:
    """Planning never fails, is deterministic, sorted, pays only for submits, and writes over edits only by choice."""
    plan = make_plan(s)  # type: ignore[arg-type]
    assert plan == make_plan(s)  # type: ignore[arg-type]
    assert [change.id for change in plan.changes] == sorted(change.id for change in plan.changes)
    for change in plan.changes:
        assert change.names or change.blocked
        assert (change.credits > 0) == ("submit" in change.names)
        assert not change.blocked or set(change.names) <= {"drain"}
        _writes_over_edits_only_by_choice(change, s)
        _saves_over_edits_only_by_choice(change)


def _writes_over_edits_only_by_choice(change: Change, s: object) -> None:
    """No step writes over a body that is not the last generated one, unless `on_edit` says overwrite."""
    if "write" not in change.names or change.spec is None or not change.source:
        return
    file = s.observe(change.source)  # type: ignore[attr-defined]
    generated = change.record.generated if change.record else NOTHING
    if file.body != generated and change.spec.on_edit is not OnEdit.OVERWRITE:
        assert change.job is not None
        assert change.job.body == file.body


def _saves_over_edits_only_by_choice(change: Change) -> None:
    """A text that is neither what was saved nor what the file has is replaced by `overwrite` alone, and by name."""
    remote, saved = change.remote, change.record.saved if change.record else None
    if "save" not in change.names or remote is None or saved is None:
        return
    assert not remote.problem
    save = next(step for step in change.steps if isinstance(step, Save))
    edited = not remote.deleted and (remote.body != saved.body or remote.title != "T")
    assert save.replaces == (remote.body if edited else NOTHING)
    assert not edited or change.spec is None or change.spec.on_edit is OnEdit.OVERWRITE


# --- what the manifest states is there already -------------------------------------------------------------

VERDICTS = st.lists(
    st.builds(
        Approval,
        item=st.just(ItemId("a")),
        text=st.sampled_from([text_digest("T", body_digest(TEXT)), text_digest("T", digest_text("other"))]),
        verdict=st.sampled_from(Verdict),
        by=st.sampled_from(["Ann <a@example.com>", "Ben <b@example.com>"]),
        at=st.just("2026-03-01T10:00:00Z"),
    ),
    max_size=2,
)


def _approved(
    approval: ApprovalRule, verdicts: list[Approval], *, disclosed: bool, written: Mapping[str, Json] | None = None
) -> ItemSides:
    """An item that was made and saved, with front matter that was `written`, and these verdicts on its text."""
    spec = a_spec(approval=approval)
    record = structs.replace(a_record(a_spec()), metadata=written or {})
    file = a_file(spec.output, front=written or {})
    project = structs.replace(PROJECT, disclosure=Disclosure()) if disclosed else PROJECT
    sides = a_situation([spec], [record], [file], project=project)
    inputs = structs.replace(sides, approvals=Approvals(lines=tuple(verdicts)))
    return ItemSides(inputs=inputs, spec=spec, record=record, file=file)


def _computed(item: ItemSides) -> Mapping[str, Json]:
    return coming_front(item, Answer(), None).keys


@given(
    approval=st.sampled_from([ApprovalRule(), ApprovalRule(required=True)]),
    disclosed=st.booleans(),
    before=VERDICTS,
    after=VERDICTS,
)
def test_a_text_with_the_front_matter_of_its_approval_is_up_to_date(
    approval: ApprovalRule, *, disclosed: bool, before: list[Approval], after: list[Approval]
) -> None:
    """Until another verdict asks for other keys: then exactly those are written."""
    keys = _computed(_approved(approval, before, disclosed=disclosed))
    assert decide(_approved(approval, before, disclosed=disclosed, written=keys)) == (None, ())
    item = _approved(approval, after, disclosed=disclosed, written=keys)
    wanted = _computed(item)
    change, notes = decide(item)
    assert notes == ()
    assert ({} if change is None else change.front) == {
        key: wanted.get(key) for key in keys.keys() | wanted.keys() if keys.get(key) != wanted.get(key)
    }

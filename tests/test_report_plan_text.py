"""A plan as a person reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contentops.model import Action, Change, ItemId, JobState, Note, Plan, Reason, Refusal
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_text import plan_text
from tests.plans import GENERATE, make_change, make_entry, make_plan

CAUSE = "var `year` in contentops.yaml:12:9"


def _regenerate(number: int, cause: str = CAUSE) -> Change:
    reason = Reason(
        kind="changed", field="inputs.topic", before=f"{number}, 2025", after=f"{number}, 2026", cause=cause
    )
    return make_change(f"city-{number:02}", Action.REGENERATE, steps=GENERATE, credits=4, reasons=(reason,))


def _text(plan: Plan, *, verbose: bool = False) -> str:
    return unpainted(plan_text(plan, verbose=verbose))


def test_nothing_is_said_twice() -> None:
    """A hint leaves out what its reason says, and a reason that names the open job stands for it."""
    job = Reason(kind="open-job", detail="job `j` is running")
    change = make_change("a", Action.FINISH, steps=("poll",), entry=make_entry(job_id="j"), reasons=(job,))
    assert _text(make_plan(change)).count("`j`") == 1
    reason = Reason(kind="edited", detail="`out/a.md` was edited by hand")
    edited = make_change(
        "a",
        Action.BLOCKED,
        blocked="edited",
        hint="`out/a.md` was edited by hand; `--on-edit keep` or `overwrite`",
        reasons=(reason,),
    )
    text = _text(make_plan(edited))
    assert text.count("was edited by hand") == 1
    assert "      edited: `out/a.md` was edited by hand\n      hint: `--on-edit keep` or `overwrite`\n" in text


def test_a_plan_tells_what_why_and_how_much() -> None:
    """Every kind of change with its unusual steps, values, cause, price, note and next command."""
    plan = make_plan(
        make_change("ai-guide"),
        make_change(
            "blog",
            Action.BLOCKED,
            blocked="edited-by-hand",
            hint="`--on-edit keep` keeps it",
            reasons=(Reason(kind="edited", detail="`out/blog.md` was edited by hand"),),
        ),
        _regenerate(1),
        _regenerate(2),
        make_change("free", steps=GENERATE, credits=0, attempt=2),
        make_change(
            "lost",
            Action.RESOLVE,
            steps=("look up",),
            entry=make_entry(state=JobState.UNKNOWN, submitted_at="2026-03-01T10:00:00Z", error="reset"),
        ),
        make_change(
            "moved", Action.MOVE, steps=("move",), source="out/old.md", target="out/new.md", renamed_from=ItemId("old")
        ),
        make_change(
            "tags",
            Action.UPDATE,
            steps=("update",),
            drains=(make_entry(job_id="job-9"),),
            reasons=(
                Reason(kind="front-matter", field="metadata.tags", before=["a"], after=["a", "b"]),
                Reason(kind="occupied", field="output", detail="a detail"),
            ),
        ),
        environment="staging",
        unchanged=7,
        notes=(
            Note(kind="orphan", id=ItemId("gone"), message="`gone` is in no manifest", hint="`--prune` removes it"),
            Note(kind="other", id=ItemId("x"), message="about something"),
        ),
    )
    assert _text(plan) == (
        "Project `acme-blog`, environment `staging`, server `local`, no budget\n"
        "\n"
        "  + ai-guide  create      4 credits  out/ai-guide.md\n"
        "  ! blog      blocked                out/blog.md\n"
        "      blocked: edited by hand\n"
        "      edited: `out/blog.md` was edited by hand\n"
        "      hint: `--on-edit keep` keeps it\n"
        "  ~ city-01   regenerate  4 credits  out/city-01.md\n"
        '      inputs.topic: "1, 2025" -> "1, 2026"\n'
        "        because of var `year` in contentops.yaml:12:9\n"
        "  ~ city-02   regenerate  4 credits  out/city-02.md\n"
        '      inputs.topic: "2, 2025" -> "2, 2026"\n'
        "        because of var `year` in contentops.yaml:12:9\n"
        "  + free      create      free       out/free.md\n"
        "      steps: submit, poll, write, save (attempt 2)\n"
        "  ? lost      resolve                out/lost.md\n"
        "      steps: look up\n"
        "      open: request `request-1`, unknown since 2026-03-01T10:00:00Z: reset\n"
        "  > moved     move                   out/old.md -> out/new.md\n"
        "      renamed from `old`\n"
        "  ~ tags      update                 out/tags.md\n"
        "      steps: collect, update\n"
        '      metadata.tags: ["a"] -> ["a", "b"]\n'
        "      output: occupied (a detail)\n      collect: job `job-9`, running\n"
        "\n"
        "Causes\n"
        "  var `year` in contentops.yaml:12:9: 2 items, 8 credits\n"
        "\n"
        "Notes\n"
        "  `gone` is in no manifest\n"
        "    hint: `--prune` removes it\n"
        "  `x`: about something\n"
        "\n"
        "Plan: 2 to create, 2 to regenerate, 1 to resolve, 1 to move, 1 to update, 1 blocked, 7 unchanged. 12 credits.\n"
        "Next: `contentops apply --env staging`"
    )


def test_changes_alike_are_folded_unless_verbose() -> None:
    """Of many changes for the same reason a few are shown, and the rest is counted with its price."""
    plan = make_plan(*[_regenerate(number) for number in range(20)], make_change("z"))
    folded = _text(plan)
    assert "  ~ … 17 more to regenerate for the same reasons, 68 credits (`--verbose` lists them)\n  + z" in folded
    assert "city-02" in folded
    assert "city-03" not in folded
    assert all(f"city-{number:02}" in _text(plan, verbose=True) for number in range(20))


def test_long_values_are_cut_unless_verbose() -> None:
    """A long value is shown whole only when asked for."""
    reason = Reason(kind="changed", field="inputs.topic", before="a" * 500, after="b")
    plan = make_plan(make_change("x", Action.REGENERATE, steps=GENERATE, reasons=(reason,)))
    assert "a" * 100 not in _text(plan)
    assert "a" * 500 in _text(plan, verbose=True)


def test_many_notes_and_causes_are_counted() -> None:
    """Notes of one kind and causes beyond ten are folded."""
    notes = [Note(kind="orphan", message=f"note {number}") for number in range(15)]
    changes = [
        make_change(
            f"{cause}-{side}", Action.SAVE, steps=("save",), reasons=(Reason(kind="k", cause=f"cause {cause}"),)
        )
        for cause in range(12)
        for side in "ab"
    ]
    plan = make_plan(*changes, notes=tuple(notes))
    text = _text(plan)
    assert "  note 8\n  … 6 more of kind orphan (`--verbose` lists them)" in text
    assert "  … 2 more (`--verbose` lists them)" in text
    assert "note 14" in _text(plan, verbose=True)


def test_refusals_name_their_way_out() -> None:
    """A guard's flag ends up in the next command; a command to run first does not; without a way there is none."""
    budget = Refusal(guard="budget", message="too dear", flag="--approve-credits 8")
    ratio = Refusal(guard="ratio", message="too much", flag="--approve-changes")
    server = Refusal(guard="server", message="another server", flag="contentops state mv --server a b")
    stale = Refusal(guard="stale", message="too old")
    change = make_change()
    assert _text(make_plan(change, refusals=(budget, ratio))).endswith(
        "apply would refuse: too dear (to continue anyway: `--approve-credits 8`)\n"
        "apply would refuse: too much (to continue anyway: `--approve-changes`)\n"
        "Next, if all of it is meant: `contentops apply --approve-credits 8 --approve-changes`"
    )
    assert _text(make_plan(change, refusals=(server,))).endswith(
        "apply would refuse: another server (first run: `contentops state mv --server a b`)"
    )
    assert _text(make_plan(change, refusals=(budget, stale))).endswith("apply would refuse: too old")


def test_inside_an_apply_there_is_no_advice() -> None:
    """`contentops apply` is none there, and a refusal follows as an error anyway."""
    plan = make_plan(make_change(), refusals=(Refusal(guard="budget", message="too dear", flag="--approve-credits 8"),))
    assert "too dear" in _text(plan)
    assert unpainted(plan_text(plan, verbose=False, advice=False)).endswith("4 credits.")


@given(st.text(min_size=1), st.text(), st.recursive(st.text() | st.none(), st.lists))
def test_no_plan_can_command_the_terminal(name: str, words: str, value: object) -> None:
    """Whatever manifests, files and servers say, the text has no control character but line feeds."""
    reason = Reason(kind=words, field=words, before=value, after=words, cause=words, detail=words)
    change = make_change(
        name, hint=words, blocked=words, reasons=(reason,), entry=make_entry(error=words, job_id=words), source=words
    )
    other = make_change(f"{name}2", reasons=(reason,))
    plan = make_plan(
        change,
        other,
        project=words,
        server=words,
        environment=words,
        notes=(Note(kind=words, message=words, id=ItemId(name), hint=words),),
        refusals=(Refusal(guard=words, message=words, flag=words),),
    )
    for verbose in (False, True):
        text = _text(plan, verbose=verbose)
        assert all(character == "\n" or (character >= " " and character != "\x7f") for character in text)
        text.encode()


def test_hints_name_the_environment() -> None:
    """A command that is copied from a plan goes to the environment the plan is for."""
    hint = "`contentops state resolve a`, or see `contentops init`"
    note = Note(kind="x", message="m", hint=hint)
    plan = make_plan(make_change(hint=hint), notes=(note,), environment="staging")
    assert _text(plan).count("hint: `contentops state resolve --env staging a`, or see `contentops init`\n") == 2

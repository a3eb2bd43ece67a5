"""A section made again: taken out of whatever a server answers, and no one's other words changed by it."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.blocks import NewSection, Unusable, deeper, is_touched, put_section, take_section
from contentops.documents.front_matter import split
from contentops.model import Action, Change, JobState, OnEdit, Outcome
from contentops.operations.state import resolve
from contentops.operations.texts import to_planned
from contentops.sections import cut, headings
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill
from tests.fakes.sides import a_file, a_job, a_record, a_spec, only_change, plan_of, stated
from tests.running import Run

TEXT = """\
Hello.

## Intro

old

Prices
------

ten

### Monthly

one

## Refunds

none
"""


@pytest.mark.parametrize(("answer", "body"), [
    pytest.param(TEXT.replace("ten", "new"), TEXT.replace("ten", "new"), id="whole"),
    pytest.param(TEXT.replace("ten", "new").replace("\n\n## ", "\n\n\n## "), None, id="whole, other blank lines"),
    pytest.param(TEXT.replace("ten\n\n### Monthly\n\none", "new"), TEXT.replace("ten\n\n### Monthly\n\none", "new"), id="less"),
    pytest.param("## Prices\n\nnew\n", TEXT.replace("ten", "new"), id="alone, what is under it stays"),
    pytest.param("# Prices #\nnew", TEXT.replace("\nten", "new"), id="alone, of another level"),
    pytest.param("## Prices\n\nnew\n\n### Weekly\n\ntwo", TEXT.replace("ten", "new").replace("Monthly\n\none", "Weekly\n\ntwo"), id="alone with more"),
])  # fmt: skip
def test_a_section_is_taken(answer: str, body: str | None) -> None:
    """From a whole text or alone; everything else stays byte for byte."""
    section = take_section(TEXT, answer, "Prices", ())
    assert isinstance(section, tuple)
    assert section[0] == body or (body is None and TEXT.replace("ten", "new") == section[0].replace("\n\n\n", "\n\n"))
    assert put_section(TEXT, section[1]) == section[0]


@pytest.mark.parametrize(("answer", "why", "others"), [
    pytest.param(TEXT.replace("ten", "new").replace("old", "older"), "others", ["Intro"], id="another one changed"),
    pytest.param(TEXT.replace("Hello.\n\n", ""), "others", [""], id="one is gone"),
    pytest.param(TEXT.replace("ten\n", "new\n\n## Added\n\nx\n"), "others", ["Added", "Monthly"], id="one more"),
    pytest.param("new\n", "absent", [], id="without the heading"),
    pytest.param("Here it is:\n\n## Prices\n\nnew\n", "beside", [], id="neither the section"),
    pytest.param("## Prices\n", "empty", [], id="no text"),
    pytest.param("## Prices\n\n```\nnew\n", "open", [], id="open code"),
    pytest.param("## Prices\n\n<!--\nnew\n", "open", [], id="open comment"),
    pytest.param("# Prices\n\nnew\n\n## Weekly\n\ntwo", "open", [], id="headings that are not below it"),
])  # fmt: skip
def test_a_section_is_not_taken(answer: str, why: str, others: list[str]) -> None:
    """Where anything else changed, or where it is not told apart."""
    section = take_section(TEXT, answer, "Prices", ())
    assert isinstance(section, Unusable)
    assert (section.why, [key.heading for key in section.others]) == (why, others)


def test_the_file_may_have_changed_meanwhile() -> None:
    """All but the section has to be as the server had it, which may be an earlier text than the file's."""
    edited = TEXT.replace("old", "MINE")
    answer = TEXT.replace("ten", "new")
    assert isinstance(take_section(edited, answer, "Prices", ()), Unusable)
    section = take_section(edited, answer, "prices", (TEXT,))
    assert isinstance(section, tuple)
    assert section[0] == edited.replace("ten", "new")
    assert take_section(edited.replace("Prices", "Cost"), answer, "Prices", (TEXT,)) == Unusable("gone")
    assert [key.heading for key in deeper(TEXT, "Prices")] == ["Monthly"]
    assert (is_touched(TEXT, edited, "Prices"), is_touched(TEXT, edited, "Intro")) == (False, True)


LINES = st.sampled_from(["# A", "## B", "### C", "B", "---", "x", "```", "<!--", "-->", "- y", "", "", "> z"])
BODIES = st.lists(LINES, max_size=12).map("\n".join)


@given(BODIES, BODIES | st.text(max_size=9), st.booleans())
def test_no_other_section_is_touched(text: str, words: str, with_deeper: bool) -> None:
    """Whatever a text and a new section are: all other sections stay as they are, or nothing is put anywhere."""
    body = put_section(text, NewSection("B", words, with_deeper))
    if body is None:
        return
    at = [section.key.heading for section in cut(text)].index("B")
    assert cut(body)[:at] == cut(text)[:at]
    rest = [
        section for section in cut(text)[at + 1 :] if not with_deeper or section.key.level <= cut(text)[at].key.level
    ]
    if rest:
        assert [section.text for section in cut(body)[-len(rest) :]][-1] == rest[-1].text


def _harness(root: Path, **habits: object) -> Harness:
    return Harness(root, FakeApi(**{"duration": 30, **habits})).applied("one")


def _again(harness: Harness, heading: str = "Closing", on_edit: OnEdit | None = None) -> Outcome:
    (outcome,) = harness.ran(select=("one",), sections={"one": heading}, on_edit=on_edit).outcomes
    return outcome


def _killed(harness: Harness) -> None:
    """The same, in which the process dies once the section was requested."""
    harness.api.fault(on("section"), "kill-after")
    with contextlib.suppress(Killed):
        _again(harness)
    harness.api.heal()


def _asked(harness: Harness, heading: str = "Closing", on_edit: OnEdit | None = None) -> Change:
    (change,) = harness.plan(select=("one",), sections={"one": heading}, on_edit=on_edit).changes
    return change


def _there(harness: Harness) -> str:
    return harness.api.contents[harness.record("one").content_id].body


@pytest.mark.parametrize("stored", ["over", "beside", "not"])
@pytest.mark.parametrize("answer", ["whole", "alone"])
def test_the_rest_stays_whatever_the_server_answers(tmp_path: Path, answer: str, stored: str) -> None:
    """The whole text or the section alone, stored or not: file and server end with the whole text."""
    harness = _harness(tmp_path, section_answer=answer, section_stored=stored)
    content, before = harness.record("one").content_id, harness.read("out/one.md")
    outcome = _again(harness)
    assert (outcome.result, outcome.copy) == ("done", "")
    body = split(harness.read("out/one.md")).body
    assert body == split(before).body.replace("Take 1.", "Section 2.")
    assert (harness.record("one").content_id, _there(harness), harness.plan().empty) == (content, body, True)
    assert (harness.plan(refresh=True).empty, harness.api.credits) == (True, 8)


@pytest.mark.parametrize(("answer", "said"), [
    ("with others", "the server changed other sections than `Closing`: `## Introduction`"),
    ("headless", "the server's answer has no heading `Closing`"),
    ("spoken", "the server's answer is neither the section `Closing` alone nor the whole text"),
])  # fmt: skip
def test_what_is_no_section_is_kept_as_paid(tmp_path: Path, answer: str, said: str) -> None:
    """Nothing is written, nothing is paid for again, it says why; given up, the server has the file's text again."""
    harness = _harness(tmp_path, section_answer=answer)
    before = harness.bytes()["out/one.md"]
    outcome = _again(harness)
    assert (outcome.result, outcome.error, "it is kept and not written" in outcome.hint) == ("blocked", said, True)
    assert harness.open_job("one").state is JobState.PAID
    for refresh in (False, True):
        (change,) = harness.plan(refresh=refresh).changes
        assert (change.blocked, said in change.hint) == ("unusable-section", True)
    assert results(harness.apply(refresh=True)) == {"one": "blocked"}
    assert (harness.bytes()["out/one.md"], harness.api.credits) == (before, 8)
    resolve(harness.project, "one", request=harness.open_job("one").short, forget=True)
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    assert (_there(harness), harness.plan(refresh=True).empty) == (split(before[0].decode()).body, True)


@pytest.mark.parametrize("answer", ["whole", "alone"])
def test_a_stop_anywhere_ends_in_the_same_tree(tmp_path: Path, answer: str, each_kill: EachKill) -> None:
    """Of an edited file too: at every durable step, and run again, the same file, record and charges."""
    whole = _harness(tmp_path / "whole", section_answer=answer)
    whole.edit("out/one.md", "All about", "MINE about")
    whole.apply()
    stops = each_kill(whole, tmp_path, lambda: _again(whole), 2)
    assert len(stops) > 5
    for where, harness in stops.items():
        for refresh in (True, False):
            assert not [change.blocked for change in harness.plan(refresh=refresh).changes if change.blocked], where
        if harness.api.credits == 4 and harness.plan().empty:
            _again(harness)
        harness.apply(refresh=True)
        assert harness.plan(refresh=True).empty, where
        body = split(harness.read("out/one.md")).body
        assert ("MINE about" in body, "Section 2." in body, harness.api.credits) == (True, True, 8), where
        assert harness.record("one").generated == whole.record("one").generated, where


def test_an_edit_elsewhere_stays_a_persons(tmp_path: Path) -> None:
    """Edited, saved, a section made again: the file stays edited, and a changed request waits for a person's word."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "All about", "MINE about")
    harness.apply()
    assert [reason.kind for reason in _asked(harness).reasons] == ["section"]
    outcome = _again(harness)
    assert (outcome.result, outcome.copy) == ("done", "")
    assert "MINE about" in harness.read("out/one.md")
    harness.edit("content/blog.yaml", "2026", "2027")
    (change,) = harness.plan().changes
    assert (change.blocked, change.credits) == ("edited", 0)
    # Only what a person touched stays in a merge: the section that a job made does not.
    harness.apply(on_edit=OnEdit.MERGE)
    text = harness.read("out/one.md")
    assert ("MINE about" in text, "Section 2." in text, "Take 1." in text) == (True, False, True)


def test_an_adopted_text_stays_one_around_a_new_section(tmp_path: Path) -> None:
    """No job made it: a changed request still waits for a person's word."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("out/one.md", "---\ntitle: One\n---\n\n## Introduction\n\nOurs.\n\n## Closing\n\nOurs too.\n")
    harness.adopt("out", template="blog_article_generator", inputs={"topic": "x", "target_audience": "all"})
    harness.apply()
    item = "out/one"
    adopted = harness.record(item).adopted
    (outcome,) = harness.ran(select=(item,), sections={item: "Closing"}, on_edit=OnEdit.OVERWRITE).outcomes
    assert (outcome.result, harness.record(item).adopted == adopted != "") == ("done", True)
    assert "Ours.\n" in harness.read("out/one.md")
    assert "Ours too." not in harness.read("out/one.md")
    harness.edit("content/adopted.yaml", "topic: x", "topic: y")
    (change,) = harness.plan().changes
    assert (change.blocked, change.credits) == ("edited", 0)


def test_a_lost_generated_text_leaves_the_file_edited(tmp_path: Path, processes: None) -> None:
    """Where no one knows what was generated, all of an edited file counts as a person's."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "All about", "MINE about")
    harness.apply()
    for each in sorted((harness.root / ".contentops" / "cache").rglob("*"), reverse=True):
        each.unlink() if each.is_file() else each.rmdir()
    assert (_asked(harness).blocked, _again(harness, on_edit=OnEdit.OVERWRITE).result) == ("edited", "done")
    harness.edit("content/blog.yaml", "2026", "2027")
    assert harness.plan().changes[0].blocked == "edited"


def test_an_overwrite_is_about_the_section_alone(tmp_path: Path) -> None:
    """Front matter that a person changed stays, whatever becomes of the section."""
    harness = _harness(tmp_path)
    harness.write("content/blog.yaml", f"defaults: {{metadata: {{series: ours}}}}\n{blog('one')}")
    harness.apply()
    harness.edit("out/one.md", "Take 1.", "MINE.")
    harness.edit("out/one.md", "series: ours", "series: mine")
    harness.apply()
    assert _again(harness, on_edit=OnEdit.OVERWRITE).result == "done"
    assert ("series: mine" in harness.read("out/one.md"), "MINE." in harness.read("out/one.md")) == (True, False)


@pytest.mark.parametrize("choice", [None, OnEdit.KEEP, OnEdit.MERGE])
def test_words_in_the_section_are_asked_about_before_it_is_paid_for(tmp_path: Path, choice: OnEdit | None) -> None:
    """It is held back, for nothing; an overwrite says so, keeps a copy, and the rest stays a person's."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "Take 1.", "MINE.")
    harness.edit("out/one.md", "All about", "MINE about")
    harness.apply()
    change = _asked(harness, on_edit=choice)
    assert (change.blocked, change.credits) == ("edited", 0)
    assert "`--on-edit overwrite` generates it again anyway" in change.hint
    details = [reason.detail for reason in _asked(harness, on_edit=OnEdit.OVERWRITE).reasons]
    assert "`Closing` of `out/one.md` was edited by hand, and that text is replaced" in details
    outcome = _again(harness, on_edit=OnEdit.OVERWRITE)
    assert outcome.result == "done"
    assert "MINE." in (harness.root / outcome.copy).read_text("utf-8")
    text = harness.read("out/one.md")
    assert ("MINE about" in text, "MINE." in text) == (True, False)
    harness.edit("content/blog.yaml", "2026", "2027")
    assert harness.plan().changes[0].blocked == "edited"


def test_an_edit_made_while_the_section_was_written_stays(tmp_path: Path) -> None:
    """Of another section it stays; of this one it is asked about."""
    harness = _harness(tmp_path)
    _killed(harness)
    harness.edit("out/one.md", "All about", "MINE about")
    assert results(harness.apply()) == {"one": "done"}
    assert ("MINE about" in harness.read("out/one.md"), "Section 2." in harness.read("out/one.md")) == (True, True)
    _killed(harness)
    harness.edit("out/one.md", "Section 2.", "MINE.")
    assert harness.plan().changes[0].blocked == "edited"
    assert (results(harness.apply(on_edit=OnEdit.OVERWRITE)), harness.api.credits) == ({"one": "done"}, 12)


def test_a_difference_shows_what_is_written(tmp_path: Path) -> None:
    """Of a section that was paid for: the file with it, whatever the server answered."""
    harness = _harness(tmp_path, section_answer="alone")
    harness.write("content/blog.yaml", f"defaults: {{checks: {{excludes: [Section]}}}}\n{blog('one')}")
    assert _again(harness).result == "blocked"
    difference = to_planned(harness.project, "one")
    assert difference.before is not None
    assert difference.after == difference.before.replace("Take 1.", "Section 2.")


@pytest.mark.parametrize("name", ["section", "status"])
def test_a_section_of_ours_is_no_edit_there(tmp_path: Path, name: str) -> None:
    """Whatever a refresh sees of it while its job is open, or when no one wants it any more."""
    harness = _harness(tmp_path)
    harness.api.fault(
        lambda called, _: called == name and "section" in (name, *(each.name for each in harness.api.requests)),
        "kill-after",
    )
    with contextlib.suppress(Killed):
        _again(harness)
    harness.api.heal()
    harness.timeline.now += 100
    (change,) = harness.plan(refresh=True).changes
    assert (change.blocked, str(change.action) in ("finish", "resolve")) == ("", True)
    harness.edit("content/blog.yaml", "2026", "2027")
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    assert ("2027" in harness.read("out/one.md"), harness.plan(refresh=True).empty) == (True, True)


@pytest.mark.parametrize(("gone", "blocked"), [(False, "edited-on-server"), (True, "missing")], ids=["edit", "file"])
def test_a_section_that_can_not_be_written_waits(tmp_path: Path, *, gone: bool, blocked: str) -> None:
    """What a person changed in WriterzRoom since is not written over; a section alone makes no file. It was paid for."""
    harness = _harness(tmp_path, section_answer="headless")
    _again(harness)
    if gone:
        (harness.root / "out/one.md").unlink()
    else:
        harness.api.edit(harness.record("one").content_id, "## Closing\n\nTHEIRS.\n")
    (change,) = harness.plan(refresh=not gone).changes
    assert (change.blocked, "restore the file, or `contentops state resolve" in change.hint) == (blocked, gone)
    assert harness.open_job("one").state is JobState.PAID


def test_the_bundled_server_and_an_edit(invoke: Run, tmp_path: Path) -> None:
    """Edit, apply, regenerate a section, change the request: the plan waits for a word."""
    harness = Harness(tmp_path, base_url="local").declared("one")
    root = harness.root
    assert invoke("apply", "--yes", cwd=root).code == 0
    harness.edit(
        "out/one.md", "## Introduction\n", "Opening\n=======\n\nMINE.\n\nIntroduction\n---\n\n``` x ``` begins this\n"
    )
    assert invoke("apply", "--yes", cwd=root).code == 0
    for heading in ("Opening", "Introduction"):
        result = invoke("regenerate", "one", "--section", heading, "--yes", cwd=root)
        assert (result.code, "`--on-edit overwrite`" in result.stdout) == (3, True)
    before = harness.read("out/one.md")
    result = invoke("regenerate", "one", "--section", "Conclusion", "--yes", cwd=root)
    assert (result.code, "replaced" in result.stdout + result.stderr) == (0, False)
    after = harness.read("out/one.md")
    assert split(after).body.partition("## Conclusion")[0] == split(before).body.partition("## Conclusion")[0]
    assert "edited" in invoke("status", cwd=root).stdout
    result = invoke("regenerate", "one", "--section", "Introduction", "--on-edit", "overwrite", "--yes", cwd=root)
    assert (result.code, "MINE." in harness.read("out/one.md")) == (0, True), result.stdout
    harness.edit("content/blog.yaml", "2026", "2027")
    planned = invoke("plan", cwd=root).stdout
    assert ("was edited by hand" in planned, "1 blocked" in planned) == (True, True)


HEADING = "What to know"


@pytest.mark.parametrize(("body", "found"), [
    ("# A\n\ntext\n\n## B ##\n", ("A", "B")), ("```\n# no\n```\n# yes\n", ("yes",)),
    ("~~~\n```\n# no\n~~~\n# yes\n", ("yes",)), ("#no\n####### no\n    # no\n#\n", ()),
    ("   ### three spaces\n", ("three spaces",)),
])  # fmt: skip
def test_headings_are_those_a_reader_sees(body: str, found: tuple[str, ...]) -> None:
    """Marks, closing marks and fenced code are told apart."""
    assert headings(body) == found


def test_without_a_section_it_says_how_to_make_the_whole_text_again(tmp_path: Path, invoke: Run) -> None:
    """A command to copy."""
    ended = invoke("regenerate", "a b", "--env", "live", cwd=tmp_path)
    assert (ended.code, "`regenerate` makes one section again" in ended.stderr) == (64, True)
    assert "to make the whole text again: `contentops apply --env live --replace 'a b'`" in ended.stderr


def test_a_section_is_a_submit_of_its_own() -> None:
    """It costs the tier's price, as the next attempt; asked for twice it is paid for once."""
    spec = a_spec()
    change = only_change([spec], [a_record(spec)], [a_file(spec.output)], sections={"a": HEADING})
    assert (change.action, change.credits, change.attempt, change.section) == (Action.REGENERATE, 4, 2, HEADING)
    assert change.names == ("submit", "poll", "write", "save")
    entry = a_job(spec, JobState.RUNNING, attempt=2, section=HEADING)
    change = only_change([spec], [a_record(spec)], [a_file(spec.output)], open_jobs=[entry], sections={"a": HEADING})
    assert (change.action, change.submits, change.section) == (Action.FINISH, 0, HEADING)


@pytest.mark.parametrize("case", ["unsaved edit", "changed spec", "no content", "missing", "protected"])
def test_a_section_needs_the_text_the_server_has(case: str) -> None:
    """Only the text in the file, as the server has it, can have a section written again."""
    spec = a_spec()
    record, file = a_record(spec), a_file(spec.output)
    match case:
        case "unsaved edit":
            file = a_file(spec.output, body="By hand.\n")
        case "changed spec":
            record = a_record(a_spec(topic="other"))
        case "no content":
            record = a_record(spec, content_id="")
        case "protected":
            spec = stated(a_spec(protected=True), "protected")
            record = a_record(spec, protected=True)
        case _:
            assert case == "missing"
    files = [] if case == "missing" else [file]
    change = plan_of([spec], [record], files, sections={"a": HEADING}).changes[0]
    assert change.blocked
    assert change.submits == 0


@pytest.mark.parametrize("stored", ["over", "beside", "not"])
def test_a_stop_before_the_save_leaves_a_save(tmp_path: Path, stored: str, each_kill: EachKill) -> None:
    """Killed anywhere after the order: requested again, no section in an unsaved text is paid for; then it is saved."""
    whole = Harness(tmp_path / "whole", FakeApi(duration=30, section_stored=stored)).applied("one")
    stops = each_kill(whole, tmp_path, lambda: whole.apply(select=("one",), sections={"one": "Closing"}))
    for where, harness in stops.items():
        if len(harness.api.generations) == 1:
            continue
        if not harness.plan().empty:
            harness.apply(select=("one",), sections={"one": "Closing"})
            harness.settle()
        content = harness.api.contents[harness.record("one").content_id]
        assert (harness.api.credits, content.body in harness.read("out/one.md")) == (8, True), where
        assert harness.plan().empty, where


def test_a_section_whose_id_is_taken_is_looked_for(tmp_path: Path) -> None:
    """A 409 tells that the request may run already: it is sent again only once the server proves that it does not."""
    harness = _harness(tmp_path)
    harness.api.fault(on("section", 1), 409)
    assert (_again(harness).result, harness.api.count("section")) == ("done", 2)
    assert (harness.api.credits, harness.state.open_jobs) == (8, {})


def test_the_command_names_the_nearest_heading(invoke: Run, tmp_path: Path) -> None:
    """A typo is told before anything is planned; the right name is planned, asked for and applied."""
    harness = Harness(tmp_path, base_url="local").applied("one", "two")
    for item, heading, code, words in (
        ("one", "What to kno", 64, f"did you mean `{HEADING}`?"), ("on", HEADING, 64, "did you mean `one`?"),
        ("one", f"## {HEADING.lower()}", 0, "is generated again"),
    ):  # fmt: skip
        result = invoke("regenerate", item, "--section", heading, "--yes", cwd=harness.root)
        assert (result.code, words in result.stdout + result.stderr) == (code, True)
    assert invoke("regenerate", "one", "--section", HEADING, cwd=harness.root).code == 4


@pytest.mark.parametrize("named", ["named", "nameless"])
@pytest.mark.parametrize("envelope", [False, True])
def test_a_server_may_answer_at_once(tmp_path: Path, named: str, envelope: bool) -> None:
    """A submit that is answered with its text is done: nothing is asked for, and nothing is paid for again."""
    harness = Harness(tmp_path, FakeApi(at_once=named, envelope=envelope))
    assert (results(harness.declared("one").apply()), _again(harness).result) == ({"one": "done"}, "done")
    assert "Section 2." in harness.read("out/one.md")
    # Each submit asked first whether its id is known; none was polled.
    assert (harness.api.count("status"), harness.api.credits, harness.state.open_jobs) == (2, 8, {})
    assert harness.plan().empty


@pytest.mark.parametrize("name", ["submit", "section"])
def test_an_answer_at_once_that_is_lost_is_not_paid_for_again(tmp_path: Path, name: str) -> None:
    """Jobs that no one could ask for prove nothing by their ids: what became of a lost one stays open."""
    harness = Harness(tmp_path, FakeApi(at_once="named", names_request=False)).applied("one")
    harness.api.fault(on(name), "504")
    harness.write("content/blog.yaml", blog("one", "two"))
    sections = {"one": "Closing"} if name == "section" else {}
    run = harness.apply(select=tuple(sections), sections=sections)
    assert (set(results(run).values()), len(harness.api.generations)) == ({"unknown"}, 2)


def test_a_failure_may_be_answered_at_once(tmp_path: Path) -> None:
    """It is told in the server's words, and tried once more as ever."""
    harness = Harness(tmp_path, FakeApi(at_once="nameless", fails=lambda _: "no topic of ours"))
    run = harness.declared("one").ran()
    assert [(outcome.result, outcome.error) for outcome in run.outcomes] == [("failed", "no topic of ours")]
    assert harness.open_job("one").state is JobState.FAILED

"""What was spent: a sum over jobs, by everything a budget is made for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import hypothesis.strategies as st
import pytest
from hypothesis import given

from contentops.cli.commands.report import parse_moment
from contentops.errors import Location
from contentops.model import Desired, ItemId, Job, JobState, RequestId
from contentops.reporting.layout import unpainted
from contentops.reporting.spend import GROUPS, Spend, count_spend, spend_json, spend_text
from tests.clones import commit, git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.plans import make_job, make_spec
from tests.running import Run
from tests.test_promote import Room

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def job(name: str = "guide", **fields: Any) -> Job:
    """The job of a text that cost four credits in March and is in a file."""
    stated = {"request_id": RequestId(f"r-{name}"), "item": ItemId(name), "state": JobState.SETTLED, "template": "blog"}
    stated |= {"style": "plain", "submitted_at": "2026-03-05T10:00:00Z", "output": f"out/{name}.md"}
    return make_job(**stated | fields)


def rows(spend: Spend, group: str) -> list[tuple[str, int, int]]:
    """A group's rows as tuples."""
    return [(row.name, row.texts, row.credits) for row in spend.groups[group]]


def test_every_group_counts_texts_and_credits() -> None:
    """The dearest first, months in order; several tags count each, and what has none is told apart."""
    desired = Desired(
        specs=(
            make_spec("a", location=Location("content/blog.yaml", 2, 5), tags=("seo", "launch", "seo")),
            make_spec("b", location=Location("content/blog.yaml", 9, 5), tags=("seo",)),
            make_spec("c", location=Location("content/press.yaml", 2, 5)),
        )
    )
    jobs = [
        job("a", style="warm", credits=5),
        job("b", submitted_at="2026-02-28T23:59:59Z"),
        job("c", template="press", submitted_at="2026-03-01T00:30:00+01:00"),
        job("gone", template="press", credits=1, server="https://api.example.test:443"),
    ]
    spend = count_spend(jobs, desired)
    assert (spend.texts, spend.credits) == (4, 14)
    assert rows(spend, "month") == [("2026-02", 2, 8), ("2026-03", 2, 6)]
    assert rows(spend, "template") == [("blog", 2, 9), ("press", 2, 5)]
    assert rows(spend, "style") == [("plain", 3, 9), ("warm", 1, 5)]
    manifests = [("content/blog.yaml", 2, 9), ("content/press.yaml", 1, 4), ("(in no manifest)", 1, 1)]
    assert rows(spend, "manifest") == manifests
    assert rows(spend, "tag") == [("seo", 2, 9), ("launch", 1, 5), ("(no tag)", 1, 4), ("(in no manifest)", 1, 1)]
    assert rows(spend, "server") == [("local", 3, 13), ("https://api.example.test:443", 1, 1)]


def test_a_time_is_included_from_its_moment_on() -> None:
    """Exactly then counts; before does not, whatever zone it was written in; no zone means UTC; an edge has no month."""
    jobs = [
        job("at", submitted_at="2026-03-01T00:00:00Z"),
        job("before", submitted_at="2026-03-01T00:30:00+01:00"),
        job("bare", submitted_at="2026-03-01T00:00:01"),
        job("never", submitted_at=""),
        job("odd", submitted_at="yesterday"),
    ]
    spend = count_spend(jobs, Desired(), since=MARCH)
    assert (spend.texts, spend.undated) == (2, 2)
    everything = count_spend(jobs, Desired())
    assert (everything.texts, everything.undated) == (5, 0)
    assert rows(everything, "month")[0] == ("(unknown)", 2, 8)
    for text, texts in {"0001-01-01T00:00:00+14:00": 0, "9999-12-31T23:59:59-14:00": 1}.items():
        edge = [job(submitted_at=text)]
        assert count_spend(edge, Desired(), since=MARCH).texts == texts
        assert rows(count_spend(edge, Desired()), "month") == [("(unknown)", 1, 4)]


def test_open_jobs_stand_apart() -> None:
    """They may add to it; failed ones and those that never arrived cost nothing, those of before do not count."""
    jobs = [
        make_job(request_id=RequestId(f"{each}-{at}"), state=each, submitted_at=when)
        for each in JobState
        if each not in {JobState.PAID, JobState.SETTLED}
        for at, when in enumerate(("2026-03-02T00:00:00Z", "2026-02-02T00:00:00Z"))
    ]
    spend = count_spend(jobs, Desired(), since=MARCH)
    assert (spend.texts, spend.credits, spend.credits_sure, spend.credits_at_most) == (0, 0, 4, 16)
    expected = {"with a lost answer, perhaps paid": 8, "given up, perhaps paid": 4, "running": 4}
    assert {row.name: row.credits for row in spend.open} == expected


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    """Names come from files and servers; escapes, line ends and marks that reorder are made visible."""
    evil = "blog\x1b[2J\u202e\n::error::x"
    desired = Desired(specs=(make_spec(location=Location(f"{evil}.yaml"), tags=(evil,)),))
    jobs = [job(template=evil, style=evil), job("other", server=evil)]
    spend = count_spend(jobs, desired)
    text = unpainted(spend_text(spend, since=evil))
    assert not {"\x1b", "\u202e"} & set(text)
    assert not [line for line in text.splitlines() if line.startswith("::error")]
    assert text.count("blog\\x1b[2J\\u202e\\n::error::x") == 6


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.integers(0, 5),
            st.text(max_size=5),
            st.sampled_from(["2026-01-01T00:00:00Z", "2026-03-09T00:00:00Z", "x"]),
        )
    )
)
def test_groups_add_up(found: list[tuple[str, int, str, str]]) -> None:
    """Every group but tags, where a text may count twice, sums up to the total."""
    jobs = [job(name, credits=price, template=kind, submitted_at=at) for name, price, kind, at in found]
    spend = count_spend(jobs, Desired(), since=MARCH)
    for group in GROUPS:
        assert sum(row.credits for row in spend.groups[group]) == spend.credits
        assert sum(row.texts for row in spend.groups[group]) == spend.texts
    document = spend_json(spend, since="")
    assert (document["format_version"], document["credits"]) == ("1.0", spend.credits)


def test_text_tells_all_there_is() -> None:
    """One server needs no table; open jobs and undated texts have lines of their own."""
    running, lost = (job(str(each), state=each) for each in (JobState.RUNNING, JobState.UNKNOWN))
    jobs = [job("a"), job("b", submitted_at="?"), running, lost]
    spend = count_spend(jobs, Desired(), since=MARCH)
    text = unpainted(spend_text(spend, since="2026-03-01"))
    assert text.splitlines()[:2] == ["MONTH      TEXTS    CREDITS", "2026-03        1          4"]
    assert "SERVER" not in text
    assert text.splitlines()[-5:] == [
        "Spent since 2026-03-01: 4 credits for 1 text.",
        "Open: 1 job running, 4 credits.",
        "Open: 1 job with a lost answer, perhaps paid, 4 credits.",
        "In all, 8 credits are sure, and at most 12 are charged.",
        "Not counted: 1 text whose time is not known.",
    ]


# --- when --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-03-01", "2026-03-01T00:00:00+00:00"), ("2026-03-01T12:00", "2026-03-01T12:00:00+00:00"),
    ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00+00:00"), ("30d", "2026-03-02T00:00:00+00:00"),
    ("1.5h", "2026-03-31T22:30:00+00:00"),
])  # fmt: skip
def test_dates_and_times_ago_are_read(text: str, expected: str) -> None:
    """In UTC, whatever their zone is; a time that there is none of is a mistake, and not taken for a commit."""
    now = datetime(2026, 4, 1, tzinfo=UTC).timestamp()
    assert parse_moment(text, now).isoformat() == expected
    for wrong in ("main", "30", "2026-02-30", "2026-13-01", "2026-03-01T99", "9" * 11 + "d", "0001-01-01T00:00+14:00"):
        with pytest.raises(click.BadParameter):
            parse_moment(wrong, now)


# --- on the command line -----------------------------------------------------------------------------------


@pytest.fixture
def spent(tmp_path: Path) -> Harness:
    """Two texts in the first commit; since then one was generated again, and one is new."""
    harness = Harness(tmp_path, FakeApi(duration=30)).declared("a", "b")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path, "Nothing yet")
    harness.apply()
    commit(tmp_path, "Two texts")
    harness.edit("content/blog.yaml", "about b in 2026", "about b in 2027")
    harness.write("content/more.yaml", blog("c"))
    harness.apply()
    return harness


@pytest.mark.parametrize(("since", "credits_"), [((), 16), (("--since", "3000d"), 16), (("--since", "1s"), 0)])
def test_the_command_counts_the_jobs(
    spent: Harness, invoke: Run, since: tuple[str, ...], credits_: int, processes: None
) -> None:
    """All of it, or what came after a time; nothing is counted from where no one meant."""
    ended = invoke("report", *since, "--json", cwd=spent.root)
    assert ended.code == 0, ended.stderr
    assert ended.json["credits"] == credits_
    assert sum(row["credits"] for row in ended.json["by"]["manifest"]) == credits_
    wrong = invoke("report", "--since", "nowhere", cwd=spent.root)
    assert (wrong.code, "error[usage]" in wrong.stderr, wrong.stdout) == (64, True, "")


def two_environments(folder: Path, *items: str) -> tuple[Harness, Room]:
    """An environment that has paid for these items, and `staging` beside it, which has applied nothing yet."""
    extra = "environments: {staging: {output: 'staging/{{ item.id }}.md'}}"
    harness = Harness(folder, FakeApi(duration=30), extra=extra).applied(*items)
    staging = Room(folder, "staging", harness.api, extra=extra)
    staging.timeline = harness.timeline
    return harness, staging


def test_each_text_is_counted_by_the_environment_that_paid_for_it(tmp_path: Path, invoke: Run) -> None:
    """What another one takes adds nothing: the sums are those of the server."""
    harness, staging = two_environments(tmp_path, "a", "b")
    staging.applied("a", "b", "c")
    sums = []
    for flags in (("--env", ""), ("--env", "staging")):
        report = invoke("report", *flags, "--json", cwd=tmp_path).json
        history = invoke("report", "--runs", *flags, "--json", cwd=tmp_path).json
        assert sum(one["credits"] for one in history["generations"]) == report["credits"]
        sums.append((report["texts"], report["credits"]))
    assert (sums, harness.api.credits) == ([(2, 8), (1, 4)], 12)
    report = invoke("report", "--json", cwd=tmp_path).json
    assert (report["texts"], report["credits"]) == (3, 12)
    assert [(one["name"], one["credits"]) for one in report["by"]["environment"]] == [("default", 8), ("staging", 4)]
    assert "ENVIRONMENT" in invoke("report", cwd=tmp_path).stdout

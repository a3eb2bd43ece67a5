"""`checks.grounded`: what a text states and its brief does not, in the ways that people write numbers and addresses."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.checks import CheckedText, check_text
from contentops.documents.claims import claims_without_source
from contentops.model import Checks, Finding, Grounded, Level
from tests.desired import PROJECT, desired
from tests.grounded_set import KINDS, cases, scores
from tests.running import Build, Clock, Run


def stated(body: str, brief: str = "", title: str = "", **given: Any) -> list[str]:
    """The words of a text that its brief does not state."""
    check = Grounded(brief=brief, **given)
    return [one.words for one in claims_without_source(check, title, body)]


def findings_in(body: str, *, title: str = "", **given: Any) -> list[Finding]:
    """What the check finds in a body that begins on line 10."""
    text = CheckedText(title=title, body=body, first_line=10, key_lines={"title": 2})
    return list(check_text(Checks(grounded=Grounded(**given)), text, lambda _: True))


FLOORS: dict[str, dict[str, tuple[float, float]]] = {
    "tuned": {"number": (0.95, 0.98), "address": (1, 1)},
    "held out": {"number": (0.94, 0.98), "address": (1, 1)},
}
"""Precision and recall by kind, at least."""


@pytest.mark.parametrize("part", FLOORS)
def test_what_is_invented_is_found_in_labelled_texts(part: str) -> None:
    """As `python -m tests.grounded_set` prints it."""
    some = [case for case in cases() if case.held_out == (part == "held out")]
    assert len(some) >= 25
    found = scores(some)
    for kind in KINDS.values():
        precision, recall = FLOORS[part][kind]
        assert found[kind].precision >= precision, (kind, found[kind])
        assert found[kind].recall >= recall, (kind, found[kind])


@pytest.mark.parametrize(("brief", "text"), [
    ("1000", "1,000 desks, 1.000 Tische, 1 000 tables, 1\u202f000 or 1'000"), ("1,000", "1000 desks"),
    ("12 %", "12% and 12 percent"), ("0.12", "12 % of them"), ("12,50 EUR", "€12.5"),
    ("1.2 million, 5k", "1,200,000 people, 1,2 Mio. of them, 1.2 millones, 5,000 or 5 thousand"),
    ("1.234.567,89", "1,234,567.89"), ("12345678", "1,23,45,678 in India"), ("1234", "１２３４ and ١٢٣٤"),
    ("2026-11-29", "29 November 2026, November 29th, 2026, 29.11.2026, 11/29/2026, am 29. November, 2026年11月29日"),
    ("29 November 2026", "2026-11-29, 29.11.2026, in November 2026, in 2026, on the 29th"),
    ("day: 29\nmonth: November\nyear: 2026", "29 November 2026"), ("17 Uhr", "17:00, 5 pm, 5 p.m., 17 h, 17.00 Uhr"),
    ("18:30", "6:30 p.m., 18:30 Uhr or 18 h 30"), ("v3.11.2", "Python 3.11.2"),
    ("Python 3.11, USD 4.10", "It needs Python 3.11. Pay $4.10. Go."), ("12.07.2026", "Am 12.07. um zwölf."),
    ("10 to 20", "10\u201320 people"), ("USD 5", "$5, US$5, 5 dollars, USD5"), ("+49 30 1234567", "+49 (30) 1234-567"),
    ("price_2025", "in 2025"),
])  # fmt: skip
def test_a_number_is_the_same_however_it_is_written(brief: str, text: str) -> None:
    """Signs for thousands, words, dates, times, currencies and the digits of all scripts."""
    assert stated(text, brief) == []


@pytest.mark.parametrize(("brief", "text", "expected"), [
    ("29 November 2026", "On 28 November 2026.", ["28"]),
    ("29 November 2026", "On 2027-11-29 or 28.11.2026.", ["2027-11-29", "28.11.2026"]),
    ("November 2026", "On 29 November 2026.", ["29"]), ("5", "5 million users", ["5 million"]),
    ("3,500", "3 or 500 people", ["3", "500"]), ("3.11", "Python 3.11.2", ["3.11.2"]),
    ("17:00", "at 5:30 or 18:00", ["5:30", "18:00"]), ("", "**1,200** desks and **1,200** chairs", ["1,200"]),
    ("", "Call +49 30 5550 1234 now.", ["+49 30 5550 1234"]),
])  # fmt: skip
def test_another_number_is_found(brief: str, text: str, expected: list[str]) -> None:
    """A number is not the same for being nearly so, and a part of it is no number of the brief."""
    assert stated(text, brief) == expected


@pytest.mark.parametrize("text", [
    "1. First\n2. Second\n\n3) Third",
    "## 2. Install\n\n## 2.1 More\n\n## Step 3: Run\n\n## 手順4\n\n# 7 ways to save time\n\n# The 7 ways\n\n# Question 12",
    "See [step 2](#more) and [3](#end).",
    "One of the best, nine years, a hundred thanks",
    "COVID-19, UTF-8, H2O, B2B and mp3",
    "`limit=50` and\n\n```python\nx = 17\n```\n\n    y = 18\n\n```console\n$ acme --all https://a.example\n```",
    "[next](part-2.md), ![](img-300.png), [^1], [2]",
    "in the 21st century, on the 3rd day, since the 1990s",
    '<img src="a.png" width="600"> &#8211; &nbsp;',
    "1\ufe0f\u20e3 Keycaps",
    "Word <!-- 12 --> word.\n\n<!-- 13\nat https://a.example\n\n14 -->\n\nsnake_15, Model2-16B",
])  # fmt: skip
def test_what_counts_parts_of_a_text_is_no_claim(text: str) -> None:
    """Numbers of lists, headings and steps; digits in names, code, links and tags."""
    assert stated(text) == []


PAGE = "https://www.Acme.example/Docs/?utm_source=x#top, mail info@acme.example"


@pytest.mark.parametrize(("text", "expected"), [
    ("[docs](http://acme.example/Docs), acme.example, <https://acme.example/>", []),
    ("https://acme.example/docs", ["https://acme.example/docs"]),
    ("https://acme.example/Docs/more.", ["https://acme.example/Docs/more"]),
    ("[a]: https://other.example/x\n", ["https://other.example/x"]),
    ("Info@Acme.example or sales@acme.example", ["sales@acme.example"]),
    ("[a](b.md#c), [d](/e), [f](#g), mailto:info@acme.example", []),
    ("visit www.acme-tools.com/x), see README.md, e.g. Node.js", ["www.acme-tools.com/x"]),
    ("詳しくはhttps://acme.example/jaをご覧", ["https://acme.example/ja"]),
    ("http://\u0430cme.example", ["http://\u0430cme.example"]),
])  # fmt: skip
def test_addresses_are_compared_by_host_and_path(text: str, expected: list[str]) -> None:
    """Without scheme, `www.`, fragment and the last slash; links inside the project are none."""
    assert stated(text, PAGE) == expected


def test_a_list_allows_more() -> None:
    """Numbers in any form, and addresses with those below them."""
    allow = ("1000", "https://docs.acme.example", "24/7", "acme.example/a")
    text = (
        "1,000, 24/7, https://docs.acme.example/a/b?c, https://acme.example/a/b, https://docs.acme.example.org and 25"
    )
    assert stated(text, allow=allow) == ["https://docs.acme.example.org", "25"]


def test_each_kind_can_be_left_out() -> None:
    """A kind that is off finds nothing."""
    text = "We met 12 people of Acme Corp at https://a.example."
    assert (stated(text, urls=False), stated(text, numbers=False)) == (["12"], ["https://a.example"])
    assert stated(text, numbers=False, urls=False) == []


def test_findings_have_lines_words_and_times() -> None:
    """The same words once, where they are first; those of a title at its key."""
    found = findings_in("One.\n\n> In 2019,\n> it was 5 %.\n\n2019 again.\n", title="Since 1999", level=Level.WARN)
    assert [(one.line, one.message) for one in found] == [
        (2, "the number `1999` of its title is not in its brief"),
        (12, "the number `2019` (2 times) is not in its brief"),
        (13, "the number `5 %` is not in its brief"),
    ]
    assert {one.level for one in found} == {Level.WARN}
    assert "checks.grounded.allow" in found[0].hint


SIGNS = st.sampled_from(list("1,. \n%$`@[]()#|<;\u200f\0\ud800٣一万Aßİ"))
BITS = SIGNS | st.sampled_from(["9" * 20, "```sh\n", "http://", "May ", "two ", "&#", "2026-", "- "])
WRITTEN = st.lists(BITS | st.text(max_size=4), max_size=30).map("".join)


@given(WRITTEN, WRITTEN, WRITTEN)
def test_no_text_makes_it_raise(body: str, title: str, brief: str) -> None:
    """Whatever a model writes; and what repeats its brief is grounded."""
    for one in claims_without_source(Grounded(brief=brief, allow=(title,)), title, body):
        assert one.words
        assert 0 <= one.line <= body.count("\n") + 2


@pytest.mark.parametrize(
    "bit",
    ["1", "1,", "<!--", "<!-- x\n\n", "12 %\n\n", "a.a@", "`ls -l` ", "```sh\n", "1 May ", "Ann Lee ", "de ", "万1"],
)
def test_a_long_text_takes_a_moment(bit: str, processor_time: Clock) -> None:
    """In text or brief; in the square of its length it would take hours."""
    long = f"x Ann {bit * (100_000 // len(bit))}"
    before = processor_time()
    for body, brief in ((long, "1 a"), ("1 a http://b.example", long)):
        assert len(claims_without_source(Grounded(brief=brief), "t", body)) < 100
    assert processor_time() - before < 10


def grounded_of(project: Build, checks: str, item: str = "inputs: {topic: x}", **files: str) -> Grounded | None:
    """The check of one item."""
    text = f"items:\n  - {{id: {'a-{{ each.n }}' if 'each' in item else 'one'!r}, {item}, checks: {checks}}}\n"
    (spec,) = desired(project({"contentops.yaml": PROJECT, "content/a.yaml": text, **files})).specs
    return spec.checks.grounded


def test_it_carries_inputs_metadata_and_row(project: Build) -> None:
    """All keys, texts and numbers of them, also of columns that no template uses."""
    item = (
        "for_each: [{n: 7, unused: {deep: [2019, true, null]}}], "
        "inputs: {topic: 'x {{ each.n }}', points: [a, b]}, metadata: {title: T}"
    )
    check = grounded_of(project, "{grounded: {urls: false, level: warn, allow: [2026, 24/7]}}", item)
    brief = "topic\nx 7\npoints\na\nb\ntitle\nT\nn\n7\nunused\ndeep\n2019"
    assert check == Grounded(urls=False, level=Level.WARN, allow=("2026", "24/7"), brief=brief)


SETTINGS = PROJECT.replace("general}", "general, checks: {grounded: {urls: true}}}")
ROWS = "items:\n  - id: '{{ each.city }}'\n    for_each: cities.csv\n    inputs: {topic: 'Desks in {{ each.city }}'}\n"


def test_check_reports_it_like_every_other_check(project: Build, invoke: Run) -> None:
    """At the line, in all forms; a number of the row is fine, though no template uses its column."""
    files = {
        "contentops.yaml": SETTINGS.replace("urls: true", "level: warn"),
        "content/a.yaml": ROWS,
        "cities.csv": "city,desks\nlisbon,120\n",
        "out/lisbon.md": "---\ntitle: Since 1999\n---\n\nWe have 120 desks.\n\nCall 555 now.\n",
    }
    root = project(files)
    assert invoke("check", cwd=root).code == 0
    (root / "contentops.yaml").write_text(SETTINGS)
    shown = invoke("check", cwd=root)
    assert shown.code == 1
    assert "error[grounded]: item `lisbon`: the number `1999` of its title is not in its brief" in shown.stdout
    assert "7 | Call 555 now." in shown.stdout
    results = invoke("check", "--format", "sarif", cwd=root).json["runs"][0]["results"]
    starts = [one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in results]
    assert ([one["ruleId"] for one in results], starts) == (["grounded", "grounded"], [2, 7])
    assert invoke("show", "lisbon", "--json", cwd=root).json["checks"] == {"grounded": {}}
    (root / "cities.csv").write_text("city,desks\nlisbon,555\n")  # the brief is part of what is remembered
    assert "the number `120`" in invoke("check", cwd=root).stdout


def test_outlines_of_the_bundled_server_pass(project: Build, invoke: Run) -> None:
    """They repeat their brief."""
    quickstart = Path(__file__).parents[1] / "examples" / "quickstart"
    names = [path for path in quickstart.rglob("*") if path.is_file() and "README" not in path.name]
    files = {path.relative_to(quickstart).as_posix(): path.read_text(encoding="utf-8") for path in names}
    files["contentops.yaml"] = files["contentops.yaml"].replace(
        "\ndefaults:\n", "\ndefaults:\n  checks: {grounded: block}\n"
    )
    root = project(files)
    assert invoke("apply", "--yes", cwd=root).code == 0
    shown = invoke("check", cwd=root).stdout
    assert ("Checked 24 files: 0 blocked" in shown, "grounded" in shown) == (True, False)

"""The lock as text: what merges make of it is read, what would lose a fact is refused, and its bytes are stable."""

import json
from collections.abc import Callable
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import NOTHING, Digest, digest_text
from contentops.errors import StateError
from contentops.model import ItemId, Record, Saved, State, request_id
from contentops.schema_files import load_schema
from contentops.state import lock
from contentops.state.codec import Header, line_of, parse_line
from contentops.state.lock import with_one_owner
from tests import state_facts as facts

HEADER = line_of(Header(lineage=facts.LINEAGE))
NAME = "contentops.lock"


def joined(*lines: str) -> str:
    """Lines as a file."""
    return "".join(f"{line}\n" for line in lines)


def on_disk(**bodies: Digest) -> Callable[[str], Digest]:
    """A disk on which item `a`'s output has the body `bodies["a"]`."""
    return lambda path: bodies.get(path.removeprefix("out/").removesuffix(".md"), NOTHING)


@given(st.lists(facts.records, max_size=4), st.randoms())
def test_rendered_states_round_trip(records: list[Record], random: Random) -> None:
    """Reading what was rendered, with its lines in any order, gives the state back, and it renders to the same bytes."""
    state = State(lineage=facts.LINEAGE, records={record.id: record for record in records})
    data = facts.rendered(state)
    lines = data.decode().split("\n")
    random.shuffle(lines)

    read = lock.read("\n".join(lines), NAME)

    again = State(lineage=read.lineage, records={id_: lines[0].value for id_, lines in read.records.items()})
    assert (again, facts.rendered(again)) == (state, data)


@pytest.mark.parametrize("text", [
    pytest.param("\ufeff" + joined(HEADER, line_of(facts.record())), id="bom"),
    pytest.param(joined(HEADER, line_of(facts.record())).replace("\n", "\r\n"), id="crlf"),
    pytest.param(joined(HEADER, line_of(facts.record())).rstrip("\n"), id="no-final-newline"),
    pytest.param(joined("", HEADER, "  ", line_of(facts.record()), ""), id="blank-lines"),
    pytest.param(joined(line_of(facts.record()), HEADER), id="header-last"),
    pytest.param(joined(HEADER, HEADER, line_of(facts.record())), id="two-equal-headers"),
    pytest.param(joined(HEADER, line_of(facts.record()), line_of(facts.record())), id="two-equal-lines"),
])  # fmt: skip
def test_what_editors_and_merges_do_to_a_file_is_tolerated(text: str) -> None:
    """Line ends, blank lines, order and repetition carry no meaning."""
    records = lock.read(text, NAME).records
    assert {id_: [line.value for line in lines] for id_, lines in records.items()} == {"a": [facts.record()]}


RECORD = line_of(facts.record())
OTHER = lock.lineage_of("other")
NO_HEADER = ("damaged-lock", "`contentops.lock` has no header line, so it is empty or cut off", "git checkout", [1])
NEWER = ("newer-state", "`contentops.lock` was written by a newer version of contentops", "upgrade contentops", [1])


@pytest.mark.parametrize(("text", "code", "said", "hint", "lines"), [
    pytest.param("", *NO_HEADER, id="empty"),
    pytest.param("\n\n", *NO_HEADER, id="blank"),
    pytest.param(joined(RECORD), *NO_HEADER, id="headless"),
    pytest.param(
        joined(HEADER, '{"id":"a"}', line_of(facts.record("b")), RECORD[:40]), "damaged-lock",
        "line 2 of `contentops.lock` cannot be used: it lacks `digest` (and 1 more line)",
        "restore it with `git checkout -- contentops.lock`", [2, 4], id="damaged",
    ),
    pytest.param(
        joined(HEADER, "<<<<<<< HEAD", RECORD, "=======", ">>>>>>> other"), "conflict-markers",
        "line 2 of `contentops.lock` is a git conflict marker (and 2 more lines)", "merge=union", [2, 4, 5], id="merged",
    ),
    pytest.param(
        joined("version https://git-lfs.github.com/spec/v1", f"oid sha256:{'1a' * 32}", "size 12345"), "lock-in-lfs",
        "`contentops.lock` is a Git LFS pointer", "`git lfs pull`", [1], id="pointer-of-lfs",
    ),
    pytest.param(
        joined(HEADER, line_of(Header(lineage=OTHER))), "mixed-lineages",
        f"`contentops.lock` has lines of different projects, lineages `{OTHER}` and `{facts.LINEAGE}`",
        "keep the header and the lines of one project", [1], id="two-lineages",
    ),
    pytest.param(joined("nonsense", line_of(Header(lineage=facts.LINEAGE, version=3))), *NEWER, id="newer-format"),
    pytest.param(joined("nonsense", line_of(Header(lineage=facts.LINEAGE, digest=2))), *NEWER, id="newer-digest"),
])  # fmt: skip
def test_a_lock_that_cannot_be_used_says_how_to_go_on(
    text: str, code: str, said: str, hint: str, lines: list[int]
) -> None:
    """Every damaged line is named at once. An emptied lock is damage, not a fresh start: every item would be new."""
    with pytest.raises(StateError) as caught:
        lock.read(text, NAME)
    findings = caught.value.diagnostics()
    assert (caught.value.code, str(caught.value)) == (code, said)
    assert hint in caught.value.hint
    assert hint in findings[0].hint
    assert said.startswith(findings[0].message)
    assert [finding.location and finding.location.line for finding in findings] == lines


OLD = facts.record(generation=1, rev=7)
NEW = facts.record(generation=2, rev=3)


@pytest.mark.parametrize(("one", "two", "disk", "second"), [
    pytest.param(OLD, NEW, on_disk(a=facts.text("a 2")), True, id="body-on-disk"),
    pytest.param(OLD, NEW, on_disk(), False, id="higher-rev"),
    pytest.param(structs.replace(OLD, rev=3, saved_at="2026-02-01T00:00:00Z"), NEW, on_disk(), False, id="later-save"),
    pytest.param(structs.replace(OLD, saved=Saved(body=facts.text("by hand")), rev=1), NEW, on_disk(a=facts.text("by hand")), False, id="saved-edit-on-disk"),
    pytest.param(structs.replace(NEW, title="A"), structs.replace(NEW, title="B"), on_disk(), True, id="only-the-text-differs"),
])  # fmt: skip
def test_the_right_duplicate_wins(one: Record, two: Record, disk: Callable[[str], Digest], second: bool) -> None:
    """Body on disk, then rev, then time, then text decides; never the order of the lines."""
    assert (
        lock.resolve_conflict([one, two], disk) == lock.resolve_conflict([two, one], disk) == (two if second else one)
    )


def test_content_only_the_loser_knows_is_kept_as_superseded() -> None:
    """Two branches that both created content on one server leave two content ids there; none is forgotten."""
    ours = facts.record(generation=2, rev=2, content_id="cnt-2", superseded=("cnt-0",))
    theirs = facts.record(generation=1, rev=1, content_id="cnt-1", superseded=("cnt-0", "cnt-2"))
    elsewhere = facts.record(generation=1, rev=1, content_id="cnt-9", server="local")

    chosen = lock.resolve_conflict([theirs, ours, elsewhere], on_disk())

    assert chosen == structs.replace(ours, superseded=("cnt-0", "cnt-1"))


def test_a_content_that_one_item_owns_is_no_superseded_one_of_another() -> None:
    """Superseded contents may be deleted, and this one is in use."""
    owner = facts.record("owner", content_id="cnt-1", superseded=("cnt-2",))
    other = facts.record("other", content_id="", saved=None, superseded=("cnt-0", "cnt-1"))
    records = {one.id: one for one in (owner, other)}
    assert with_one_owner(records) == {other.id: structs.replace(other, superseded=("cnt-0",))}


def test_names_are_the_same_everywhere() -> None:
    """Lineage and request id are pinned: they must come out alike on every machine and in every release."""
    lineage = lock.lineage_of("acme-blog")
    request = request_id(lineage, facts.text("x"), 1)

    assert lineage == "5eeaabdc-2070-5017-bb4f-0d363df63dff"
    assert lock.lineage_of("acme-blog", "f" * 40) == "c51ff1dd-fb5a-5a32-985b-bf484f6861e7"
    assert lock.lineage_of("acme-blog", "f" * 40, "sites/blog") == "b7c55a05-5610-571c-8406-07437765fd22"
    assert request == "66004eed-e637-52f9-a079-e2a3e6d81ec1"
    others = {
        request_id(lineage, facts.text("x"), 2),
        request_id(lineage, facts.text("x"), 1, "Costs"),
        request_id(lineage, facts.text("y"), 1),
        request_id(lock.lineage_of("b"), facts.text("x"), 1),
    }
    assert len({request, *others}) == 5


SCHEMA = load_schema("lock")


def test_lines_are_golden() -> None:
    """Header first, records by code point, LF; a record leaves out what is empty, and is sorted, without spaces."""
    names = ("é", "b", "a", "Z")
    state = State(lineage=facts.LINEAGE, records={ItemId(name): facts.record(name) for name in names})
    assert facts.rendered(state).decode() == joined(HEADER, *(line_of(facts.record(name)) for name in "Zabé"))
    assert line_of(Header(lineage=facts.LINEAGE)) == (
        '{"contentops_lock":2,"digest":1,"lineage":"' + facts.LINEAGE + '"}'
    )
    digest = digest_text("x")
    bare = Record(
        id=ItemId("a"), digest=digest, request={"b": 1, "a": "ä"}, server="local", dialect="v1", output="o.md"
    )
    assert line_of(bare) == (
        '{"dialect":"v1","digest":"' + digest + '","id":"a","output":"o.md","request":{"a":"ä","b":1},"server":"local"}'
    )


@pytest.mark.parametrize("line", [
    line_of(Header(lineage=facts.LINEAGE)),
    line_of(facts.record(saved=Saved(title=facts.text("t")), superseded=("old",), used={"year": "0" * 12})),
    line_of(facts.record(protected=True)),
])  # fmt: skip
def test_lines_follow_the_schema(line: str) -> None:
    """The published schema describes every kind of line, with each field of a record, and nothing else."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    schema = jsonschema.Draft7Validator(SCHEMA)
    schema.validate(json.loads(line))
    assert not schema.is_valid({"what": "ever"})
    assert SCHEMA["definitions"]["record"]["properties"].keys() == {one.encode_name for one in structs.fields(Record)}


def changed(**changes: object) -> str:
    """The line of a record with keys replaced (or removed, by None)."""
    line = json.loads(line_of(facts.record()))
    line.update(changes)
    return json.dumps({key: value for key, value in line.items() if value is not None})


@pytest.mark.parametrize(("line", "words"), [
    pytest.param("nonsense", "is incomplete or invalid JSON", id="not-json"),
    pytest.param('{"id":"a"', "is incomplete or invalid JSON", id="torn"),
    pytest.param("[1]", "expected `object`, got `array`", id="list"),
    pytest.param("null", "expected `object`, got `null`", id="null"),
    pytest.param("[" * 200_000, "expected `object`, got `array`", id="deep-list"),
    pytest.param('{"id":"a","request":' + '{"a":' * 200_000, "is nested too deeply", id="deep"),
    pytest.param('{"more":' + "[" * 200_000, "is nested too deeply", id="deep-unknown"),
    pytest.param('{"id": NaN}', "is incomplete or invalid JSON", id="nan"),
    pytest.param(changed(metadata={"a": float("inf")}), "is incomplete or invalid JSON", id="infinity"),
    pytest.param('{"id": 1e999}', "number out of range", id="infinite"),
    pytest.param(changed(metadata={"a": 1}).replace("1}", "1e999}"), "number out of range", id="infinite-inside"),
    pytest.param('{"id": "\\ud800"}', "is incomplete or invalid JSON", id="surrogate"),
    pytest.param(changed(title="x\ud800y"), "is incomplete or invalid JSON", id="surrogate-in-a-title"),
    pytest.param('{"id": "\x01"}', "is incomplete or invalid JSON", id="control-character"),
    pytest.param('{"id": ' + "9" * 5000 + "}", "number out of range", id="huge-number"),
    pytest.param('{"what":1}', "is neither a header nor a record", id="nothing-known"),
    pytest.param(changed(id=""), "`id` is not valid: expected `str` of length >= 1", id="empty-id"),
    pytest.param(changed(id=7), "`id` is not valid: expected `str`, got `int`", id="id-number"),
    pytest.param(changed(digest=None), "it lacks `digest`", id="lacks"),
    pytest.param(changed(rev="2"), "`rev` is not valid: expected `int`, got `str`", id="rev-text"),
    pytest.param(changed(rev=True), "`rev` is not valid: expected `int`, got `bool`", id="rev-bool"),
    pytest.param(changed(rev=1.0), "`rev` is not valid: expected `int`, got `float`", id="rev-float"),
    pytest.param(changed(rev=-1), "`rev` is not valid: expected `int` >= 0", id="rev-negative"),
    pytest.param(changed(request=[]), "`request` is not valid: expected `object`, got `array`", id="request-list"),
    pytest.param(changed(metadata="x"), "`metadata` is not valid", id="metadata-text"),
    pytest.param(changed(superseded=[1]), "`superseded[0]` is not valid: expected `str`", id="superseded"),
    pytest.param(changed(used={"a": 1}), "`used[...]` is not valid: expected `str`", id="used"),
    pytest.param(changed(saved={"body": {}}), "`saved.body` is not valid: expected `str`", id="saved"),
    pytest.param('{"id":"a","digest":null}', "`digest` is not valid: expected `str`, got `null`", id="digest-null"),
    pytest.param('{"contentops_lock":2,"digest":1}', "it lacks `lineage`", id="header-lacks"),
    pytest.param('{"contentops_lock":"1"}', "`contentops_lock` is not valid: expected `int`", id="header-version"),
    pytest.param('{"contentops_lock":2,"digest":1,"lineage":"x"}', "`lineage` is not a UUID", id="no-uuid"),
    pytest.param('{"id":7,"contentops_lock":2}', "`id` is not valid", id="both"),
])  # fmt: skip
def test_hostile_lines_are_refused_in_words(line: str, words: str) -> None:
    """What is wrong with a line is said in words a person can act on, never as a traceback of another kind."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_line(line)

    assert words in str(caught.value)

"""Lines of lock and journal: the bytes are a contract, and hostile lines are refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from msgspec import structs
from msgspec.structs import fields

from contentops.digest import digest_text
from contentops.model import JobState, OpenEntry, Record, Saved
from contentops.state.lines import (
    Header,
    entry_line,
    header_line,
    line_digest,
    parse_line,
    parse_object,
    record_line,
)
from tests import state_facts as facts

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "lock.schema.json").read_text())


def test_a_header_is_one_constant_line() -> None:
    """The first line of a lock never changes for a lineage."""
    assert header_line(Header(lineage=facts.LINEAGE)) == (
        '{"contentops_lock":1,"digest":1,"lineage":"' + facts.LINEAGE + '"}'
    )


def test_a_record_leaves_out_what_is_empty() -> None:
    """A record with nothing but its duties is short, sorted and without spaces."""
    record = facts.record()
    bare = Record(
        id=record.id, digest=digest_text("x"), request={"b": 1, "a": "ä"}, server="local", dialect="v1", output="o.md"
    )

    assert record_line(bare) == (
        '{"dialect":"v1","digest":"' + digest_text("x") + '","id":"a","output":"o.md","request":{"a":"ä","b":1},'
        '"server":"local"}'
    )


def test_an_empty_save_is_not_a_missing_one() -> None:
    """A record that was saved without digests keeps its `saved` key."""
    assert parse_line(record_line(facts.record(saved=Saved()))) == facts.record(saved=Saved())
    assert parse_line(record_line(facts.record(saved=None))) == facts.record(saved=None)


@given(facts.records)
def test_records_round_trip(record: Record) -> None:
    """Whatever a record holds comes back from its line, and the line is one line."""
    line = record_line(record)

    assert "\n" not in line
    assert parse_line(line) == record
    assert record_line(record) == line


@given(facts.entries)
def test_entries_round_trip(entry: OpenEntry) -> None:
    """Whatever an open entry holds comes back from its line."""
    assert parse_line(entry_line(entry)) == entry


@pytest.mark.parametrize(
    "line",
    [
        header_line(Header(lineage=facts.LINEAGE)),
        record_line(facts.record(saved=Saved(title=facts.text("t")), superseded=("old",), used={"year": "0" * 12})),
        record_line(facts.record(protected=True)),
        *(entry_line(facts.entry(state=state)) for state in JobState),
    ],
)
def test_lines_follow_the_schema(line: str) -> None:
    """The published schema describes every kind of line."""
    jsonschema.Draft7Validator(SCHEMA).validate(json.loads(line))


def test_the_schema_is_a_schema() -> None:
    """The schema is valid draft-07 and refuses a line that is nothing."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid({"what": "ever"})


def test_every_field_has_its_key() -> None:
    """A field that is added to a record or an entry is in its line, and in the schema."""
    definitions = SCHEMA["definitions"]
    for kind, made in (("record", facts.record()), ("entry", facts.entry())):
        names = {field.name for field in fields(made)}
        assert definitions[kind]["properties"].keys() == {
            "open" if name == "request_id" and kind == "entry" else name for name in names
        }
    full: dict[str, Any] = {field.name: "x" for field in fields(Record) if field.type == "str"}
    assert full.keys() <= json.loads(record_line(structs.replace(facts.record(), **full))).keys()
    full = {field.name: "x" for field in fields(OpenEntry) if field.type == "str"}
    assert full.keys() <= json.loads(entry_line(structs.replace(facts.entry(), **full))).keys()


def test_unknown_keys_are_ignored() -> None:
    """A line of a newer minor version is read for what is known of it."""
    line = record_line(facts.record())

    assert parse_line(line[:-1] + ',"flavour":["new"]}') == facts.record()


def test_a_line_digest_is_that_of_its_text() -> None:
    """The base of a journal entry is the digest of the line as it stands."""
    assert line_digest("x") == digest_text("x")


def changed(**changes: object) -> str:
    """The line of a record with keys replaced (or removed, by None)."""
    found = json.loads(record_line(facts.record()))
    found.update(changes)
    return json.dumps({key: value for key, value in found.items() if value is not None})


def opened(**changes: object) -> str:
    """The line of an entry with keys replaced (or removed, by None)."""
    found = json.loads(entry_line(facts.entry()))
    found.update(changes)
    return json.dumps({key: value for key, value in found.items() if value is not None})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("nonsense", "is not JSON (expecting value at character 1)", id="not-json"),
        pytest.param('{"id":"a"', "is not JSON (expecting ',' delimiter at character 10)", id="torn"),
        pytest.param("[1]", "is not a JSON object", id="list"),
        pytest.param("null", "is not a JSON object", id="null"),
        pytest.param("[" * 200_000, "is nested too deeply", id="deep"),
        pytest.param('{"id": NaN}', "`NaN` is not JSON", id="nan"),
        pytest.param('{"id": 1e999}', "`1e999` is not JSON", id="infinite"),
        pytest.param('{"id": "\\ud800"}', "holds half of a character (a lone surrogate)", id="surrogate"),
        pytest.param('{"id": ' + "9" * 5000 + "}", "Exceeds the limit", id="huge-number"),
        pytest.param('{"what":1}', "is neither a header nor a record nor an open entry", id="nothing-known"),
        pytest.param(changed(id=""), "`id` is empty", id="empty-id"),
        pytest.param(changed(id=7), "`id` must be text, not a whole number", id="id-number"),
        pytest.param(changed(digest=None, server=None), "lacks `digest`, `server`", id="lacks-two"),
        pytest.param(changed(rev="2"), "`rev` must be a whole number, not text", id="rev-text"),
        pytest.param(changed(rev=True), "`rev` must be a whole number, not true or false", id="rev-bool"),
        pytest.param(changed(rev=1.0), "`rev` must be a whole number, not a fraction", id="rev-float"),
        pytest.param(changed(rev=-1), "`rev` must be a whole number, not a negative number", id="rev-negative"),
        pytest.param(changed(request=[]), "`request` must be a map, not a list", id="request-list"),
        pytest.param(changed(metadata="x"), "`metadata` must be a map, not text", id="metadata-text"),
        pytest.param(changed(superseded=[1]), "`superseded` must hold only text", id="superseded"),
        pytest.param(changed(used={"a": 1}), "`used` must hold only text", id="used"),
        pytest.param(changed(definitions={"a": 1}), "`definitions` must hold only text", id="definitions"),
        pytest.param(opened(definitions={"a": 1}), "`definitions` must hold only text", id="entry-definitions"),
        pytest.param(opened(definitions="x"), "`definitions` must be a map, not text", id="entry-definitions-text"),
        pytest.param(changed(saved={"body": {}}), "`saved.body` must be text, not a map", id="saved"),
        pytest.param('{"id":"a","digest":null}', "`digest` must be text, not null", id="digest-null"),
        pytest.param(opened(state="done"), "`state` must be one of `submitting`, `running`", id="state"),
        pytest.param(opened(open=""), "`open` is empty", id="empty-request-id"),
        pytest.param(opened(item=None), "lacks `item`", id="entry-lacks"),
        pytest.param('{"contentops_lock":1,"digest":1}', "lacks `lineage`", id="header-lacks"),
        pytest.param('{"contentops_lock":1,"digest":1,"lineage":"x"}', "`lineage` must be a UUID", id="no-uuid"),
    ],
)
def test_hostile_lines_are_refused_in_words(line: str, words: str) -> None:
    """What is wrong with a line is said in words a person can act on, never as a traceback of another kind."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_line(line)

    assert words in str(caught.value)


def test_a_header_of_a_newer_format_is_read_for_its_version() -> None:
    """What a newer lineage looks like is not ours to judge."""
    assert parse_line('{"contentops_lock":2,"digest":1,"lineage":"new kind"}') == Header(lineage="new kind", version=2)


def test_escapes_that_are_whole_characters_are_fine() -> None:
    """Only half a character is refused, not an escape as such."""
    assert parse_object('{"a":"\\u00e4\\u0000"}') == {"a": "ä\0"}

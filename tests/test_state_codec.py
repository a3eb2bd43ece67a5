"""Lines of lock and journal: the bytes are a contract, and hostile lines are refused in words."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from msgspec import structs

from contentops.digest import digest_text
from contentops.model import Record, Saved
from contentops.schema_files import load_schema
from contentops.state.codec import Header, line_of, parse_line
from tests import state_facts as facts

SCHEMA = load_schema("lock")


def test_a_header_is_one_constant_line() -> None:
    """The first line of a lock never changes for a lineage."""
    assert line_of(Header(lineage=facts.LINEAGE)) == (
        '{"contentops_lock":2,"digest":1,"lineage":"' + facts.LINEAGE + '"}'
    )


def test_a_record_leaves_out_what_is_empty() -> None:
    """A record with nothing but its duties is short, sorted and without spaces."""
    record = facts.record()
    bare = Record(
        id=record.id, digest=digest_text("x"), request={"b": 1, "a": "ä"}, server="local", dialect="v1", output="o.md"
    )

    assert line_of(bare) == (
        '{"dialect":"v1","digest":"' + digest_text("x") + '","id":"a","output":"o.md","request":{"a":"ä","b":1},'
        '"server":"local"}'
    )


def test_an_empty_save_is_not_a_missing_one() -> None:
    """A record that was saved without digests keeps its `saved` key."""
    assert parse_line(line_of(facts.record(saved=Saved()))) == facts.record(saved=Saved())
    assert parse_line(line_of(facts.record(saved=None))) == facts.record(saved=None)


@given(facts.records)
def test_records_round_trip(record: Record) -> None:
    """Whatever a record holds comes back from its line, and the line is one line."""
    line = line_of(record)

    assert "\n" not in line
    assert parse_line(line) == record
    assert line_of(record) == line


@pytest.mark.parametrize(
    "line",
    [
        line_of(Header(lineage=facts.LINEAGE)),
        line_of(facts.record(saved=Saved(title=facts.text("t")), superseded=("old",), used={"year": "0" * 12})),
        line_of(facts.record(protected=True)),
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
    """A field that is added to a record is in the schema."""
    assert SCHEMA["definitions"]["record"]["properties"].keys() == {one.encode_name for one in structs.fields(Record)}


def test_unknown_keys_are_ignored() -> None:
    """A line of a newer minor version is read for what is known of it."""
    line = line_of(facts.record())

    assert parse_line(line[:-1] + ',"flavour":["new"]}') == facts.record()


def changed(**changes: object) -> str:
    """The line of a record with keys replaced (or removed, by None)."""
    line = json.loads(line_of(facts.record()))
    line.update(changes)
    return json.dumps({key: value for key, value in line.items() if value is not None})


@pytest.mark.parametrize(
    ("line", "words"),
    [
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
    ],
)
def test_hostile_lines_are_refused_in_words(line: str, words: str) -> None:
    """What is wrong with a line is said in words a person can act on, never as a traceback of another kind."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_line(line)

    assert words in str(caught.value)


def test_a_header_of_a_newer_format_is_read_for_its_version() -> None:
    """What a newer lineage looks like is not ours to judge."""
    assert parse_line('{"contentops_lock":3,"digest":1,"lineage":"new kind"}') == Header(lineage="new kind", version=3)


def test_values_are_kept_as_they_are() -> None:
    """Escapes that are whole characters, large numbers, fractions and depth come back, and go out as before."""
    text = '{"a":"\\u00e4\\u0000\\ud83d\\ude00","b":123456789012345678901234567890,"c":[1e22,1E-7,-0.0,1.0,0.1,-0]}'
    line = changed(metadata={"a": 1}).replace('{"a": 1}', text)
    parsed = parse_line(line)

    assert isinstance(parsed, Record)
    assert parsed.metadata == {"a": "ä\0😀", "b": 123456789012345678901234567890, "c": [1e22, 1e-7, -0.0, 1.0, 0.1, 0]}
    assert '"b":123456789012345678901234567890,"c":[1e+22,1e-07,-0.0,1.0,0.1,0]}' in line_of(parsed)


def test_of_a_key_that_is_there_twice_the_last_one_counts() -> None:
    """As everywhere in JSON; one that does not fit is refused wherever it stands."""
    line = line_of(facts.record())

    assert parse_line('{"title":"First",' + line[1:]) == facts.record()
    with pytest.raises(ValueError, match="`title` is not valid"):
        parse_line('{"title":1,' + line[1:])

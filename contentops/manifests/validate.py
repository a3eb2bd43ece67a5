"""Validates the rendered fields of an item, its `approval` and its `checks`. Makes its spec if it has no errors.

All problems of an item are reported, each at the location where the value was written.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contentops.digest import NOTHING, canonical
from contentops.documents.checks import compiled, schema_problem
from contentops.documents.clean import clean_title
from contentops.documents.paths import check_output
from contentops.documents.preset import (
    REVERSE_SOLIDUS,
    apply_preset,
    backslashed,
    no_flags,
    uses_changed_at,
    with_day,
)
from contentops.json_reader import DeepJson, load_json
from contentops.manifests.catalog_lock import UNRENDERED, CatalogCheck
from contentops.manifests.data import DataFile
from contentops.manifests.render import NO_INPUTS, Rendered
from contentops.manifests.schema import field_tests, field_violations
from contentops.manifests.values import Report, kind_of
from contentops.model import (
    NO_APPROVAL,
    NO_CHECKS,
    REQUEST_FIELDS,
    ApprovalRule,
    Checks,
    Disclosure,
    ItemId,
    Json,
    OnEdit,
    OnSourceChange,
    Request,
    Spec,
    is_day,
)

if TYPE_CHECKING:
    FindFile = Callable[[str], DataFile | str]
    """Returns a file by its path as written, or why there is none."""

MAX_ID: Final = 200
"""Longest item id, in characters."""

_ID = re.compile(r"\w[\w./@+-]*")
# Marks that choose a variant of a letter or join letters, so that two different ids would look alike.
_HIDDEN = "[\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_MAX_SHOWN: Final = 60


def check_item(
    rendered: Rendered,
    *,
    catalog: CatalogCheck | None,
    preset: str,
    disclosure: Disclosure | None,
    sends_mode: bool,
    find: FindFile,
    well_formed: bool,
) -> Spec | None:
    """Return the spec of a rendered item, or None if the item has problems. The problems are reported.

    `find` returns files by path. In a manifest that is `well_formed`, only rendered values are checked against their
    schemas again.
    """
    before, report = rendered.problems.errors, rendered.report
    values = _checked_fields(rendered, report, well_formed=well_formed)
    if preset:
        _check_preset(preset, values.get("metadata", {}), report)
    inputs = _inputs(rendered, values)
    if catalog is not None:
        catalog.check(values, inputs, report)
    if disclosure is not None:
        _check_disclosure(disclosure, values.get("metadata", {}), report)
    if not sends_mode and (mode := values.get("mode", "standard")) != "standard":
        core = f"has the mode `{mode}`, which is not sent while `api.send_mode` is off"
        report(("mode",), "wrong-value", core, hint="use `standard`, or remove `send_mode: false`")
    if uses_changed_at(values.get("metadata", {})):
        _check_changed_at(values, report)
    row = rendered.each.values if rendered.each is not None else {}
    brief = (inputs, values.get("metadata", {}), row)
    stated = values.get("checks")
    checks = _checks(stated, report, find, brief) if stated else NO_CHECKS
    approval = _rule(values["approval"]) if values.get("approval") else NO_APPROVAL
    marks = apply_preset(preset, {"draft": True}) if approval.required else ()
    _check_letters(values.get("metadata", {}), ("title", *marks), report)
    if rendered.failed or rendered.declared.misspelt or rendered.problems.errors > before:
        return None
    return _spec(rendered, values, checks, approval, preset)


def _check_changed_at(values: Mapping[str, Any], report: Report) -> None:
    """Report a request, path or title that contains `changed_at` from the metadata."""
    others: list[tuple[tuple[str, ...], Any]] = [((name,), value) for name, value in values.items()]
    others += [(("metadata", "title"), values["metadata"].get("title"))]
    for path, value in others:
        if path != ("metadata",) and uses_changed_at(value):
            core = f"uses `changed_at` in `{'.'.join(path)}`, which has to be known before the text is"
            report(path, "template-value", core, hint="use it in other keys of `metadata` alone")


def _check_preset(preset: str, metadata: Mapping[str, Any], report: Report) -> None:
    for key in backslashed(preset, metadata):
        core = f"has a backslash in `metadata.{key}`, which the site generator of preset `{preset}` interprets"
        report(("metadata", key), "wrong-value", core, hint=f"write `/`, or `{REVERSE_SOLIDUS}` (U+29F5)")
    for key in no_flags(preset, metadata):
        core = f"has {kind_of(metadata[key])} as `metadata.{key}`, which takes a bool in the preset `{preset}`"
        hint = 'write true or false without quotes; from a data file: `{{ each.column == "true" }}`'
        report(("metadata", key), "wrong-type", core, hint=hint)


def _check_disclosure(disclosure: Disclosure, metadata: Mapping[str, Any], report: Report) -> None:
    for key in (disclosure.key, disclosure.source_type):
        if key and key in metadata:
            core = f"sets `metadata.{key}`, which `disclosure` in `contentops.yaml` writes"
            report(("metadata", key), "reserved-key", core, key=True, hint="remove it, or choose another key there")


def _check_letters(metadata: Iterable[str], names: Iterable[str], report: Report) -> None:
    # Hugo reads keys without their case, so that a second key could replace the first, or one of `names`.
    seen = {name: name for name in names}
    for key in metadata:
        if (other := seen.setdefault(key.casefold(), key)) != key:
            core = f"sets `metadata.{key}`, which differs only in case from `{other}`"
            report(("metadata", key), "reserved-key", core, key=True, hint=f"write `{other}`")


def _inputs(rendered: Rendered, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of the item's inputs, by name. The value of an input that is not rendered is UNRENDERED."""
    inputs: Mapping[str, Any] = values.get("inputs", NO_INPUTS)
    if "inputs" in rendered.failed and isinstance(written := rendered.declared.values.get("inputs"), dict):
        return dict.fromkeys(written, UNRENDERED)
    names = [name.split(".")[1] for name in rendered.open if name.startswith("inputs.")] if rendered.open else ()
    return {**inputs, **dict.fromkeys(names, UNRENDERED)} if names else inputs


def _spec(rendered: Rendered, values: Mapping[str, Any], checks: Checks, approval: ApprovalRule, preset: str) -> Spec:
    metadata = values.get("metadata", {})
    if "publish_on" in values:
        metadata = with_day(preset, metadata, values["publish_on"])
    if "title" in metadata:
        metadata = {**metadata, "title": clean_title(metadata["title"])}
    fields = {name: values[name] for name in REQUEST_FIELDS if name in values}
    request = Request(**{"template": "", "style": "", "inputs": {}, **fields})
    opened = [name.split(".") for name in sorted(rendered.open)]
    waits = any(name[0] == "inputs" for name in opened)
    return Spec(
        id=ItemId(values["id"]),
        request=request,
        # Without the texts that it is made from, there is no request yet.
        digest=NOTHING if waits else request.digest,
        output=values.get("output", ""),
        metadata=metadata,
        checks=checks,
        names=_names_of(rendered.each.values) if checks.similar is not None and rendered.each is not None else (),
        approval=approval,
        open_metadata=tuple(name[1] for name in opened if name[0] == "metadata"),
        location=rendered.declared.location,
        origins=rendered.origins,
        variables=rendered.variables,
        used=rendered.used,
        **{name: as_field(values[name]) for name, as_field in _OTHERS.items() if name in values},
        **(rendered.referred if rendered.readings else {}),
    )


_OTHERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "tags": tuple,
    "on_edit": OnEdit,
    "on_source_change": OnSourceChange,
    "protected": bool,
    "save": bool,
    "publish_on": str,
}
"""Keys that become fields of a spec, with the types that convert their values."""


def _names_of(row: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the values of a data row that `checks.similar` ignores in texts."""
    from contentops.documents.word_diff import names_in

    return names_in(row)


# --- fields ----------------------------------------------------------------------------------------------


def _checked_fields(rendered: Rendered, report: Report, *, well_formed: bool) -> dict[str, Any]:
    """Return the valid values of an item's fields, and report the other values."""
    tests = field_tests()
    values = dict(rendered.values)
    if not well_formed:
        values = {name: value for name, value in values.items() if name in tests}
    if type(values.get("id")) is int:
        values["id"] = str(values["id"])  # a number is as good a name as its digits
    if "approval" in values:
        values["approval"] = _with_switches(values["approval"])  # the words of a person or a column
    doubtful = rendered.declared.open if well_formed else values
    for name in [name for name in doubtful if name in values and not tests[name](values[name])]:
        for each in field_violations(name, values.pop(name)):
            # An entry of a list that a template gave has no location.
            path = itertools.takewhile(lambda step: isinstance(step, str), each.pointer)
            report(tuple(map(str, path)), each.code, f": {each.message}", key=each.key, hint=each.hint)
    for name, (code, problem_of, hint_for) in _FIELDS.items():
        if name in values and (problem := problem_of(values[name])):
            value = values.pop(name)
            report((name,), code, f"has the {name} {_shown(value)}, which {problem}", hint=hint_for(value))
    if "metadata" in values and not _is_metadata(values["metadata"], report):
        del values["metadata"]
    _check_missing(rendered, values, report)
    return values


def _check_missing(rendered: Rendered, values: Mapping[str, Any], report: Report) -> None:
    if rendered.values.keys() >= _MISSING.keys():
        return
    missing = [name for name in _MISSING if name not in rendered.values and name not in rendered.open]
    stated = rendered.failed | rendered.declared.misspelt
    # A protected item is never generated, so it needs no template.
    adopted = values.get("protected") is True and "template" in missing and "template" not in stated
    for name in missing:
        if name not in stated and not (adopted and name in {"template", "style"}):
            report((), "missing-key", f"has no `{name}`", hint=_MISSING[name])


_MISSING: Final = {
    "id": "give it an id that never changes",
    "template": "set it on the item or under `defaults` (`contentops catalog list` shows them); only items with "
    "`protected: true` may leave it out",
    "style": "set it on the item or under `defaults` (`contentops catalog list` shows them)",
    "output": "null removes the project's setting; leave the key out",
}
"""Required keys, each with a hint."""


def id_problem(value: str) -> str:
    """Return what is wrong with an id, as the end of a sentence. An empty text means that the id is valid."""
    if len(value) > MAX_ID:
        return f"is longer than {MAX_ID} characters"
    if not unicodedata.is_normalized("NFC", value):
        return "has accents as separate characters (not NFC)"
    if not _ID.fullmatch(value) and (problem := _strange_character(value)):
        return problem
    if not {"", ".", ".."}.isdisjoint(value.split("/")):
        return "has an empty, `.` or `..` part between slashes"
    return ""


def id_hint(value: str) -> str:
    """Return a hint that says how to correct an id."""
    if len(value) > MAX_ID:
        return "shorten it"
    composed = unicodedata.normalize("NFC", value)
    if composed != value:
        return f"write `{composed}`, which looks the same in NFC"
    return "letters, digits and `_`, and after the first of them also `. / @ + -`"


def _strange_character(value: str) -> str:
    """Return words about the first character that an id cannot have in its position.

    A combining mark belongs to the letter before it.
    """
    if not _ID.match(value):
        return f"starts with {_character(value[0])}"
    letter = False
    for char in value:
        mark = unicodedata.category(char).startswith("M")
        if mark and (not letter or re.match(_HIDDEN, char)):
            return f"contains the mark U+{ord(char):04X}, " + ("which cannot be seen" if letter else "without a letter")
        if not mark and not _ID.fullmatch("a" + char):
            return f"contains {_character(char)}"
        letter = mark or char.isalnum()
    return ""


def _character(char: str) -> str:
    return "a space" if char == " " else f"`{char}`" if char.isprintable() else f"the character U+{ord(char):04X}"


def _is_metadata(value: Mapping[str, Json], report: Report) -> bool:
    empty = "title" in value and not clean_title(str(value["title"]))
    if empty:
        report(("metadata", "title"), "wrong-value", "has an empty `metadata.title`", hint="leave the key out")
    if "contentops" in value:
        core = "sets `metadata.contentops`, which is reserved for the provenance block"
        report(("metadata", "contentops"), "reserved-key", core, key=True, hint="choose another name")
    return not empty and "contentops" not in value


_FIELDS: Final[Mapping[str, tuple[str, Callable[[str], str | None], Callable[[str], str]]]] = {
    "id": ("bad-id", id_problem, id_hint),
    "publish_on": (
        "wrong-value",
        lambda value: None if is_day(value) else "is not a day",
        lambda _: "write a day as `2026-12-01`",
    ),
    "output": (
        "bad-output",
        check_output,
        lambda _: "choose another `output`, or another `id` if the output uses it",
    ),
}
"""Checks that a JSON Schema cannot do: the code, and functions for the problem of a value and its hint."""


def _shown(value: Json) -> str:
    text = value if isinstance(value, str) else canonical(value)
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return f"`{cut}`" if cut.isprintable() else f"`{cut.encode('unicode_escape').decode()}`"


# --- approval and checks -----------------------------------------------------------------------------------


_SWITCH: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("required", "true", "yes", "on"), True),
    **dict.fromkeys(("off", "false", "no"), False),
}
"""The words of a person or a column for yes and no."""


def _with_switches(approval: Mapping[str, Json]) -> Json:
    """Return a rendered `approval` in which words such as `yes` and `off` are replaced by true and false."""
    words = {key: part.strip().casefold() for key, part in approval.items() if isinstance(part, str)}
    known = {key: _SWITCH[word] for key, word in words.items() if word in _SWITCH}
    return {**approval, **known}


def _rule(approval: Mapping[str, Any]) -> ApprovalRule:
    """Return the approval rule that a valid `approval` states. Without `required`, its other keys have no effect."""
    if not approval.get("required"):
        return NO_APPROVAL
    return ApprovalRule(required=True, note=approval.get("note") is True, publish=approval.get("publish") is True)


_SHORT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("contains", "excludes", "matches", "not_matches", "headings", "commands"), "values"),
    "front_matter": "schema",
    "grounded": "level",
}
"""The key that the short form of a check sets, by the name of the check."""


def _checks(value: Mapping[str, Any], report: Report, find: FindFile, brief: Iterable[Json]) -> Checks:
    """Return the valid `checks` of an item. Checks that cannot be used are reported and left out.

    `brief` has the inputs, metadata and data row of the item.
    """
    checks: dict[str, Any] = {}
    for name, stated in value.items():
        check = {_SHORT[name]: stated} if name in _SHORT and not isinstance(stated, dict) else stated
        if isinstance(check, dict):
            check = {key: part for key, part in check.items() if part is not None}
        if stated is not None and _is_check(name, check, report, find):
            checks[name] = check
    if grounded := checks.get("grounded"):
        allow = [str(entry) for entry in grounded.get("allow", ())]
        checks["grounded"] = {**grounded, "allow": allow, "brief": "\n".join(dict.fromkeys(_words_of([*brief])))}
    return msgspec.convert(checks, Checks, strict=False)


def _is_check(name: str, check: Any, report: Report, find: FindFile) -> bool:
    """Return whether a check can be used. If it has a schema, the schema's text is added to the check."""
    path: tuple[str, ...] = ("checks", name)
    needed = _SHORT.get(name, "level")
    if needed != "level" and needed not in check:
        hint = f"write it as `{{{needed}: {'FILE' if needed == 'schema' else '[...]'}, level: ...}}`"
        report(path, "missing-key", f"has `checks.{name}` without `{needed}`", hint=hint)
        return False
    if name == "words" and check.get("min", 0) > check.get("max", math.inf):
        core = f"asks for at least {check['min']:,} words and at most {check['max']:,}"
        report(path, "wrong-value", core, hint="swap them")
        return False
    if name in {"matches", "not_matches"}:
        return all(_is_pattern(name, entry, report) for entry in check["values"])
    if name == "front_matter":
        problem, hint = _read_schema(check, find)
        if problem:
            core = f"uses the schema `{check['schema'][:200]}`, which {problem}"
            report((*path, "schema"), "bad-schema", core, hint=hint)
        return not problem
    return name != "words" or not {"min", "max"}.isdisjoint(check)


def _read_schema(check: dict[str, Any], find: FindFile) -> tuple[str, str]:
    """Read the JSON Schema of a front matter check, and store it in the check.

    Return the problem and a hint. Both are empty if there is no problem.
    """
    file = find(check["schema"])
    if isinstance(file, str):
        return file, "paths are relative to the project root, or to the manifest's folder"
    problem, text = ("cannot be read", "") if file.problem else _schema_text(file.content)
    check |= {"schema": file.path, "text": text}
    return problem, ""


def _is_pattern(name: str, entry: str, report: Report) -> bool:
    problem = compiled(entry)
    if isinstance(problem, str):
        hint = "`.` matches any character and `\\.` a full stop; single quotes leave backslashes unchanged"
        core = f"has the pattern `{entry[:60]}` in `checks.{name}`, which {problem}"
        report(("checks", name, "values"), "bad-pattern", core, hint=hint)
    return not isinstance(problem, str)


def _words_of(value: Json) -> Iterator[str]:
    """Yield every key, text and number in a value."""
    if isinstance(value, dict | list):
        for inner in itertools.chain.from_iterable(value.items()) if isinstance(value, dict) else value:
            yield from _words_of(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


@functools.lru_cache(maxsize=64)
def _schema_text(content: bytes) -> tuple[str, str]:
    """Check the bytes of a JSON Schema. Return the problem, and the canonical text; one of them is empty."""
    try:
        schema = load_json(content)
        text = canonical(schema)
    except DeepJson as error:
        return str(error), ""
    except (ValueError, TypeError):
        return "is not JSON", ""
    problem = schema_problem(text)
    return problem, "" if problem else text

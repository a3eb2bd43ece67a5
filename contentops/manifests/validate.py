"""Validates the rendered fields of an item with its `approval` and `checks`, and makes its spec if it has no errors.

All problems of an item are reported, each at the location where the value was written.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from contentops.digest import NOTHING, canonical
from contentops.documents.clean import clean_title
from contentops.documents.paths import check_output
from contentops.documents.preset import REVERSE_SOLIDUS, apply_preset, backslashed, no_flags, with_day
from contentops.errors import Severity, nearest
from contentops.json_reader import DeepJson, load_json
from contentops.manifests.catalog_lock import UNRENDERED, check_with_catalog
from contentops.manifests.data import DataFile
from contentops.manifests.expand import Declared
from contentops.manifests.render import USES, Rendered, subject_of
from contentops.manifests.values import Problems, Report, Unrendered, Written, entry_hint, kind_of
from contentops.model import (
    NO_APPROVAL,
    NO_CHECKS,
    REQUEST_FIELDS,
    ApprovalRule,
    Catalog,
    Checks,
    Disclosure,
    FrontMatterSchema,
    Grounded,
    ItemId,
    Json,
    Level,
    Listed,
    MergeRule,
    OnEdit,
    OnSourceChange,
    Request,
    Similar,
    Spec,
    WordLimits,
    is_day,
)
from contentops.pricing import CREDITS

if TYPE_CHECKING:
    FindFile = Callable[[str], DataFile | str]
    """Returns a file by its path as written, or why there is none."""

MAX_ID: Final = 200
"""Longest item id, in characters."""

_ID = re.compile(r"\w[\w./@+-]*")
# Marks that choose a variant of a letter or join letters, so that two different ids would look alike.
_HIDDEN = "[\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_MAX_SHOWN: Final = 60
_FOLLOWING: Final[Mapping[str, tuple[str, ...]]] = {
    "inputs": ("missing-input",),
    "template": ("missing-input", "unknown-input", "wrong-input", "duplicate-input"),
}
"""By the field that a misspelt key did not set, the codes of problems that follow from that."""


def check_item(
    rendered: Rendered,
    problems: Problems,
    *,
    catalog: Catalog | None,
    preset: str,
    disclosure: Disclosure | None,
    find: FindFile,
) -> Spec | None:
    """The spec of a rendered item, or None if it has problems, which are reported; `find` returns files by path."""
    before = problems.errors
    report = _reporter(rendered, problems)
    values = _checked_fields(rendered, report)
    if preset:
        _check_preset(preset, values.get("metadata", {}), report)
    inputs = _inputs(rendered, values)
    if catalog is not None:
        check_with_catalog(values, inputs, catalog, report)
    if disclosure is not None:
        _check_disclosure(disclosure, values.get("metadata", {}), report)
    row = rendered.each.values if rendered.each is not None else {}
    brief = (inputs, values.get("metadata", {}), row)
    checks = read_checks(rendered.values.get("checks"), report, find, brief)
    approval = read_approval(rendered.values.get("approval"), report)
    marks = apply_preset(preset, {"draft": True}) if approval.required else ()
    _check_letters(values.get("metadata", {}), ("title", *marks), report)
    if rendered.failed or rendered.declared.misspelt or problems.errors > before:
        return None
    return _spec(rendered, values, checks, approval, preset)


def _check_preset(preset: str, metadata: Mapping[str, Any], report: Report) -> None:
    for key in backslashed(preset, metadata):
        core = f"has a backslash in `metadata.{key}`, which the site generator of preset `{preset}` interprets"
        report(("metadata", key), "wrong-value", core, hint=f"write `/`, or `{REVERSE_SOLIDUS}` (U+29F5)")
    for key in no_flags(preset, metadata):
        _no_bool(("metadata", key), metadata[key], f"a bool in the preset `{preset}`", report)


def _check_disclosure(disclosure: Disclosure, metadata: Mapping[str, Any], report: Report) -> None:
    for key in (disclosure.key, disclosure.source_type):
        if key and key in metadata:
            core = f"sets `metadata.{key}`, which `disclosure` in `contentops.yaml` writes"
            report(("metadata", key), "reserved-key", core, key=True, hint="remove it, or choose another key there")


def _check_letters(metadata: Iterable[str], names: Iterable[str], report: Report) -> None:
    # Hugo reads keys without their case, so that a second key could take the place of the first, or of one of `names`.
    seen = {name: name for name in names}
    for key in metadata:
        if (other := seen.setdefault(key.casefold(), key)) != key:
            core = f"sets `metadata.{key}`, which differs only in case from `{other}`"
            report(("metadata", key), "reserved-key", core, key=True, hint=f"write `{other}`")


def _inputs(rendered: Rendered, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs by name; each is UNRENDERED where some could not be rendered."""
    if "inputs" in rendered.failed and isinstance(node := rendered.declared.values["inputs"], Unrendered):
        return dict.fromkeys(node.values, UNRENDERED)
    inputs: Mapping[str, Any] = values.get("inputs", {})
    names = [name.split(".")[1] for name in rendered.open if name.startswith("inputs.")]
    return {**inputs, **dict.fromkeys(names, UNRENDERED)} if names else inputs


def _reporter(rendered: Rendered, problems: Problems) -> Report:
    def report(
        path: tuple[str, ...],
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        if any(code in _FOLLOWING.get(name, ()) for name in rendered.declared.misspelt):
            return
        names = frozenset((".".join(path), ".".join(path[:2]), *path[:1]))
        if rendered.about is not None and rendered.about.isdisjoint(names):
            return
        written, exists = _find(rendered.declared, path)
        problems.about(
            subject_of(rendered.declared, rendered.each),
            written,
            code,
            core,
            key=key and exists,
            hint=hint,
            severity=severity,
        )

    return report


def _find(declared: Declared, path: tuple[str, ...]) -> tuple[Written, bool]:
    """The written value at a path and True, or the deepest written value on the way and False."""
    written, exists = declared.find(path)
    return (declared.written, False) if written.document is None or not path else (written, exists)


def _spec(rendered: Rendered, values: dict[str, Any], checks: Checks, approval: ApprovalRule, preset: str) -> Spec:
    fields = {name: values[name] for name in REQUEST_FIELDS if name in values}
    waits = bool(rendered.open) and any(name.startswith("inputs.") for name in rendered.open)
    metadata = values.get("metadata", {})
    if "publish_on" in values:
        metadata = with_day(preset, metadata, values["publish_on"])
    if "title" in metadata:
        metadata = {**metadata, "title": clean_title(metadata["title"])}
    request = Request(**{"template": "", "style": "", "inputs": {}, **fields})
    return Spec(
        id=ItemId(values["id"]),
        request=request,
        # Without the texts that it is made from, there is no request yet.
        digest=NOTHING if waits else request.digest,
        output=values.get("output", ""),
        metadata=metadata,
        tags=tuple(values.get("tags", ())),
        on_edit=OnEdit(values["on_edit"]) if "on_edit" in values else OnEdit.BLOCK,
        merge=MergeRule(values["merge"]) if "merge" in values else MergeRule.LENIENT,
        protected=values.get("protected", False),
        save=values.get("save", True),
        checks=checks,
        names=names_of(rendered.each.values) if checks.similar is not None and rendered.each is not None else (),
        approval=approval,
        on_source_change=OnSourceChange(values.get("on_source_change", OnSourceChange.NOTE)),
        publish_on=values.get("publish_on", ""),
        references=rendered.references,
        mentions=rendered.mentions,
        readings=rendered.readings,
        open_metadata=_open_metadata(rendered.open) if rendered.open else (),
        location=rendered.declared.location,
        origins=rendered.origins,
        variables=rendered.variables,
        used=rendered.used,
    )


def _open_metadata(open_: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name.split(".")[1] for name in open_ if name.startswith("metadata.")))


# --- fields ----------------------------------------------------------------------------------------------


def _checked_fields(rendered: Rendered, report: Report) -> dict[str, Any]:
    """The valid values by field; the others are reported."""
    values: dict[str, Any] = {}
    for name, value in rendered.values.items():
        check = _FIELDS.get(name)
        if check is None:
            continue
        if name == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # noqa: PLW2901 - a number is as good a name as its digits
        if check(name, value, report):
            values[name] = value
    missing = [name for name in _MISSING if name not in rendered.values and name not in rendered.open]
    if missing:
        stated = rendered.failed | rendered.declared.misspelt
        # A protected item is never generated, so it needs no template.
        adopted = values.get("protected") is True and "template" in missing and "template" not in stated
        for name in missing:
            if name not in stated and not (adopted and name in {"template", "style"}):
                report((), "missing-key", f"has no `{name}`", hint=_MISSING[name])
    return values


_MISSING: Final = {
    "id": "give it an id that never changes",
    "template": "set it on the item or under `defaults` (`contentops catalog list` shows them); only items with "
    "`protected: true` may leave it out",
    "style": "set it on the item or under `defaults` (`contentops catalog list` shows them)",
    "output": "null removes the project's setting; leave the key out",
}
"""Required keys, each with a hint."""


def _is_text(name: str, value: Json, report: Report) -> bool:
    if not isinstance(value, str):
        return _wrong_type((name,), value, "a text", report, hint=_quote_hint(value))
    if not value.strip():
        report((name,), "wrong-value", f"has an empty `{name}`", hint="fill it in or leave the key out")
    return bool(value.strip())


def _wrong_type(path: tuple[str, ...], value: Json, wanted: str, report: Report, *, hint: str = "") -> bool:
    """Report a value of the wrong type; returns False, the result of the calling check."""
    report(
        path,
        "wrong-type",
        f"has {kind_of(value)} as `{'.'.join(path)}`, which takes {wanted}",
        hint=hint or entry_hint(value),
    )
    return False


def _quote_hint(value: Json) -> str:
    return "put it in quotes" if isinstance(value, int | float) else ""


def _is_id(name: str, value: Json, report: Report) -> bool:
    if not _is_text(name, value, report):
        return False
    if problem := id_problem(value):
        report((name,), "bad-id", f"has the id {_shown(value)}, which {problem}", hint=id_hint(value))
    return not problem


def id_problem(value: str) -> str:
    """The problem of an id, as the end of a sentence; empty if there is none."""
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
    """A hint for an invalid id."""
    if len(value) > MAX_ID:
        return "shorten it"
    composed = unicodedata.normalize("NFC", value)
    if composed != value:
        return f"write `{composed}`, which looks the same in NFC"
    return "letters, digits and `_`, and after the first of them also `. / @ + -`"


def _strange_character(value: str) -> str:
    """The first character that an id may not have at its position; a mark belongs to the letter before it."""
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


def _is_output(name: str, value: Json, report: Report) -> bool:
    if not isinstance(value, str):
        return _wrong_type((name,), value, "a text", report)
    if problem := check_output(value):
        hint = "choose another `output`, or another `id` if the output uses it"
        report((name,), "bad-output", f"has the output {_shown(value)}, which {problem}", hint=hint)
    return not problem


def _one_of(allowed: Iterable[str]) -> Callable[[str, Json, Report], bool]:
    names = tuple(allowed)

    def check(name: str, value: Json, report: Report) -> bool:
        if isinstance(value, str) and value in names:
            return True
        close = nearest(value, names) if isinstance(value, str) else None
        hint = f"did you mean `{close}`?" if close else "one of " + ", ".join(f"`{entry}`" for entry in names)
        report((name,), "wrong-value", f"has {_shown(value)} as `{name}`", hint=hint)
        return False

    return check


def _is_day(name: str, value: Json, report: Report) -> bool:
    if isinstance(value, str) and is_day(value):
        return True
    report((name,), "wrong-value", f"has {_shown(value)} as `{name}`", hint="write a day as `2026-12-01`")
    return False


def _is_bool(name: str, value: Json, report: Report) -> bool:
    return isinstance(value, bool) or _no_bool((name,), value, "a bool", report)


def _no_bool(path: tuple[str, ...], value: Json, wanted: str, report: Report) -> bool:
    hint = "write true or false"
    if isinstance(value, str):
        hint += ' without quotes; from a data file: `{{ each.column == "true" }}`'
    return _wrong_type(path, value, wanted, report, hint=hint)


def _is_revision(name: str, value: Json, report: Report) -> bool:
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value):
        return True
    return _wrong_type((name,), value, "a whole number or a text", report)


def _is_tags(name: str, value: Json, report: Report) -> bool:
    if not isinstance(value, list):
        return _wrong_type((name,), value, "a list of texts", report, hint=f"write `{name}: [...]`")
    if all(isinstance(entry, str) and entry.strip() for entry in value):
        return True
    strange = next(entry for entry in value if not isinstance(entry, str) or not entry.strip())
    shown = "an empty text" if isinstance(strange, str) else kind_of(strange)
    report((name,), "wrong-type", f"has {shown} in `{name}`, which takes a list of texts", hint=_quote_hint(strange))
    return False


def _is_map(name: str, value: Json, report: Report) -> bool:
    return isinstance(value, dict) or _wrong_type((name,), value, "a map", report)


def _is_metadata(name: str, value: Json, report: Report) -> bool:
    if not _is_map(name, value, report):
        return False
    title = value.get("title", "title")
    fine = isinstance(title, str) and ("title" not in value or bool(clean_title(title)))
    if not isinstance(title, str):
        _wrong_type((name, "title"), title, "a text", report, hint=_quote_hint(title))
    elif not fine:
        report((name, "title"), "wrong-value", "has an empty `metadata.title`", hint="leave the key out")
    if "contentops" in value:
        core = "sets `metadata.contentops`, which is reserved for the provenance block"
        report((name, "contentops"), "reserved-key", core, key=True, hint="choose another name")
        fine = False
    return fine


_FIELDS: Final[dict[str, Callable[[str, Json, Report], bool]]] = {
    **dict.fromkeys(REQUEST_FIELDS, _is_text),
    "id": _is_id,
    "mode": _one_of(CREDITS),
    "inputs": _is_map,
    "metadata": _is_metadata,
    "tags": _is_tags,
    USES: _is_tags,
    "revision": _is_revision,
    "on_edit": _one_of(OnEdit),
    "merge": _one_of(MergeRule),
    "on_source_change": _one_of(OnSourceChange),
    "publish_on": _is_day,
    "protected": _is_bool,
    "save": _is_bool,
    "output": _is_output,
}


def _shown(value: Json) -> str:
    text = value if isinstance(value, str) else canonical(value)
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return f"`{cut}`" if cut.isprintable() else f"`{cut.encode('unicode_escape').decode()}`"


# --- approval ----------------------------------------------------------------------------------------------


_SWITCH: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("required", "true", "yes", "on"), True),
    **dict.fromkeys(("off", "false", "no"), False),
}
"""The words of a person or a column for yes and no."""


def read_approval(value: Json, report: Report) -> ApprovalRule:
    """The rule of a rendered item; a key that cannot be used is reported and omitted."""
    if not isinstance(value, dict) or not value:
        return NO_APPROVAL
    said = {key: _switch(key, value[key], report) for key in ("required", "publish") if key in value}
    # Without `required` the other key has nothing to say, so that `off` takes it away.
    if not said.get("required"):
        return NO_APPROVAL
    return ApprovalRule(**{key: flag for key, flag in said.items() if flag is not None})


def _switch(key: str, value: Any, report: Report) -> bool | None:
    """A yes or no; None for a value that is reported."""
    if isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word in _SWITCH and (key == "required" or word != "required"):
        return _SWITCH[word]
    name = "approval" if key == "required" else f"approval.{key}"
    words = "`required` or `off`" if key == "required" else "`true` or `false`"
    if word:
        close = nearest(word, _SWITCH)
        hint = f"did you mean `{close}`?" if close and key == "required" else f"write {words}"
        report(("approval", key), "wrong-value", f"has `{value[:60]}` as `{name}`", hint=hint)
        return None
    shown = "an empty text" if isinstance(value, str) else kind_of(value)
    hint = 'state a value for empty cells: `{{ each.column or "off" }}`' if isinstance(value, str) else ""
    report(("approval", key), "wrong-type", f"has {shown} as `{name}`, which takes {words}", hint=hint)
    return None


# --- checks ------------------------------------------------------------------------------------------------

MAX_RETRIES: Final = 10
_LISTS: Final = ("contains", "excludes", "matches", "not_matches", "headings", "commands")
_LEVELS: Final = ("leftovers", "links")
_KINDS: Final = ("numbers", "urls")
MAX_PATTERNS: Final = 100
LEAST_SHARE: Final = 0.1
MOST_SHARE: Final = 0.99
"""The bounds of `checks.similar.at_most`: texts on one subject have some words in common, and no share is above 1."""
_PATTERNS: Final = frozenset({"matches", "not_matches"})


def read_checks(value: Json, report: Report, find: FindFile, brief: Iterable[Json] = ()) -> Checks:
    """The checks of a rendered item; those that cannot be used are reported and omitted.

    `brief`: inputs, metadata and data row of the item.
    """
    if not isinstance(value, dict) or not value:
        return NO_CHECKS
    lists: dict[str, Any] = {key: _listed(key, value[key], report) for key in _LISTS if key in value}
    lists |= {key: Level(value[key]) for key in _LEVELS if value.get(key) in tuple(Level)}
    words, front_matter, grounded = (value.get(key) for key in ("words", "front_matter", "grounded"))
    return Checks(
        **lists,
        words=_words(words, report) if isinstance(words, dict) else None,
        front_matter=None if front_matter is None else _schema(front_matter, report, find),
        similar=_similar(value["similar"], report) if isinstance(value.get("similar"), dict) else None,
        grounded=None if grounded is None else _grounded(grounded, report, brief),
        retries=whole_number(("checks", "retries"), value.get("retries"), report, most=MAX_RETRIES) or 0,
    )


def _level(value: Mapping[str, Any]) -> Level:
    return Level(value["level"]) if value.get("level") in tuple(Level) else Level.BLOCK


def _words(value: Mapping[str, Any], report: Report) -> WordLimits | None:
    at = ("checks", "words")
    fewest, most = (whole_number((*at, key), value.get(key), report) for key in ("min", "max"))
    if fewest is not None and most is not None and fewest > most:
        report(at, "wrong-value", f"asks for at least {fewest:,} words and at most {most:,}", hint="swap them")
    if fewest is None and most is None:
        return None
    return WordLimits(min=fewest, max=most, level=_level(value))


def _similar(value: Mapping[str, Any], report: Report) -> Similar | None:
    at = ("checks", "similar")
    stated = {key: value[key] for key in ("within", "at_most") if value.get(key) is not None}
    within, most = stated.get("within", ""), stated.get("at_most", LEAST_SHARE)
    tag = within.partition(":") if isinstance(within, str) else ("", "", "")
    if within not in ("", "for_each", "all") and not (tag[0] == "tag" and tag[2].strip()):
        shown = f"`{within[:60]}`" if isinstance(within, str) else kind_of(within)
        core = f"has {shown} as `checks.similar.within`"
        report((*at, "within"), "wrong-value", core, hint="`for_each`, `tag:NAME` or `all`")
        return None
    is_number = isinstance(most, int | float) and not isinstance(most, bool)
    if not is_number or not LEAST_SHARE <= most <= MOST_SHARE:
        core = f"has {most if is_number else kind_of(most)} as `checks.similar.at_most`"
        report((*at, "at_most"), "wrong-value", core, hint=f"a number from {LEAST_SHARE} to {MOST_SHARE}")
        return None
    return Similar(**stated, level=_level(value))


def names_of(row: Mapping[str, Json]) -> tuple[str, ...]:
    """The values of a row that `checks.similar` masks."""
    from contentops.documents.word_diff import names_in

    return names_in(row)


def whole_number(path: tuple[str, ...], value: Any, report: Report, *, most: int | None = None) -> int | None:
    """A whole number of at least 0, also one like `2.0` from a template; None where there is none."""
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 0:
        shown = f"{value}" if whole and not isinstance(value, bool) else kind_of(value)
        core = f"has {shown} as `{'.'.join(path)}`, which must be a whole number of at least 0"
        hint = "" if whole else "from a data file: `{{ each.column | int }}`"
        report(path, "wrong-type", core, hint=hint)
        return None
    if most is not None and value > most:
        report(path, "wrong-value", f"has {value} as `{'.'.join(path)}`, which takes {most} at most")
        return None
    return int(value)


def _listed(key: str, value: Json, report: Report) -> Listed | None:
    path: tuple[str, ...] = ("checks", key)
    level = Level.BLOCK
    if isinstance(value, dict):
        level, value = _level(value), value.get("values")
        if value is None:
            core = f"has `checks.{key}` without a list"
            report(
                path,
                "missing-key",
                core,
                hint="write it as `{values: [...], level: ...}`; lists are replaced, not merged",
            )
        path = (*path, "values")
    if not isinstance(value, list):
        return None
    from contentops.documents.checks import compiled

    if key in _PATTERNS and len(value) > MAX_PATTERNS:
        core = f"has {len(value):,} patterns in `checks.{key}`, which takes {MAX_PATTERNS} at most"
        report(path, "wrong-value", core, hint="combine some of them with `|`")
        return None
    for entry in value:
        if not isinstance(entry, str) or not entry.strip():
            shown = "an empty text" if isinstance(entry, str) else kind_of(entry)
            report(path, "wrong-type", f"has {shown} in `{'.'.join(path)}`, which takes a list of texts")
            return None
        if key in _PATTERNS and isinstance(problem := compiled(entry), str):
            hint = "`.` matches any character and `\\.` a full stop; single quotes leave backslashes unchanged"
            report(path, "bad-pattern", f"has the pattern `{entry[:60]}` in `checks.{key}`, which {problem}", hint=hint)
            return None
    return Listed(values=tuple(value), level=level)


def _schema(value: Json, report: Report, find: FindFile) -> FrontMatterSchema | None:
    path: tuple[str, ...] = ("checks", "front_matter")
    level = Level.BLOCK
    if isinstance(value, dict):
        level, value = _level(value), value.get("schema")
        if value is None:
            core = "has `checks.front_matter` without a schema"
            report(path, "missing-key", core, hint="write it as `{schema: FILE, level: ...}`")
        path = (*path, "schema")
    if not isinstance(value, str):
        return None
    file = find(value)
    if isinstance(file, str):
        hint = "paths are relative to the project root, or to the manifest's folder"
        report(path, "bad-schema", f"uses the schema `{value[:200]}`, which {file}", hint=hint)
        return None
    problem, text = ("cannot be read", "") if file.problem else _read(file.content)
    if problem:
        report(path, "bad-schema", f"uses the schema `{value[:200]}`, which {problem}")
        return None
    return FrontMatterSchema(path=file.path, text=text, level=level)


def _grounded(value: Json, report: Report, brief: Iterable[Json]) -> Grounded | None:
    path = ("checks", "grounded")
    if isinstance(value, str):
        value = {"level": value} if value in tuple(Level) else None
    if not isinstance(value, dict):
        return None
    kinds: dict[str, bool] = {}
    for key in _KINDS:
        chosen = value.get(key)
        if isinstance(chosen, bool):
            kinds[key] = chosen
        elif chosen is not None:
            hint = 'write true or false; from a data file: `{{ each.column == "true" }}`'
            core = f"has {kind_of(chosen)} as `checks.grounded.{key}`, which takes a bool"
            report((*path, key), "wrong-type", core, hint=hint)
    allow = value.get("allow") or []
    for entry in allow if isinstance(allow, list) else ():
        if isinstance(entry, bool) or not isinstance(entry, str | int | float) or not str(entry).strip():
            shown = "an empty text" if isinstance(entry, str) else kind_of(entry)
            core = f"has {shown} in `checks.grounded.allow`, which takes a list of texts and numbers"
            report((*path, "allow"), "wrong-type", core)
            return None
    allowed = tuple(map(str, allow)) if isinstance(allow, list) else ()
    return Grounded(**kinds, allow=allowed, level=_level(value), brief=_lines_of(brief))


def _lines_of(values: Iterable[Json]) -> str:
    """Every key, text and number in some values, each on a line and once."""
    lines: dict[str, None] = {}
    rest = list(values)[::-1]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest += [each for pair in reversed(value.items()) for each in reversed(pair)]
        elif isinstance(value, list):
            rest += reversed(value)
        elif value is not None and not isinstance(value, bool):
            lines[str(value)] = None
    return "\n".join(lines)


@functools.lru_cache(maxsize=64)
def _read(content: bytes) -> tuple[str, str]:
    """The problem of a schema's bytes, and its canonical text; one of the two is empty."""
    from contentops.documents.checks import schema_problem

    try:
        schema = load_json(content)
        text = canonical(schema)
    except DeepJson as error:
        return str(error), ""
    except (ValueError, TypeError):
        return "is not JSON", ""
    problem = schema_problem(text)
    return problem, "" if problem else text

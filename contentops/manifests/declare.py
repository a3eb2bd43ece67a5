"""Manifest entries for texts that are there already, written so that they say exactly what their files say.

What is written is read again before it counts: a key that would not come back as it is in the file is left out, and
an item that does not fit its template is declared without one.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.digest import is_same_json
from contentops.documents.front_matter import TITLE_KEY
from contentops.documents.preset import apply_preset
from contentops.errors import InputError, Severity, UsageError
from contentops.manifests.load import load
from contentops.model import REQUEST_FIELDS
from contentops.yaml.read import read_yaml
from contentops.yaml.syntax import JINJA
from contentops.yaml.write import write_pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.errors import Diagnostic
    from contentops.manifests.load import ParseCache
    from contentops.model import Catalog, Desired, Json, Project, Spec

# Readers of YAML 1.1 take these for booleans where they stand without quotes, and we for texts.
_BOOLEANS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
_UNFIT: Final = frozenset({"missing-input", "missing-key"})
"""Findings about an item as a whole that are about its template."""
_ITEMS: Final = re.compile(r"items:[ \t]*(?:#.*)?\r?$")
_ENTRY: Final = re.compile(r"(?P<indent> *)- ")


class Existing(Struct, frozen=True, kw_only=True):
    """A text that is to be declared: the item's id and keys, and what its file says."""

    id: str
    spec: Mapping[str, Json]
    """Those of REQUEST_FIELDS that are known; empty for an item that is never generated."""
    output: str = ""
    """Empty where the project says where it goes."""
    title: str = ""
    front: Mapping[str, Json]
    """Front matter without title and `contentops` block."""
    declared: frozenset[str] | None = None
    """The keys to declare; None: all."""
    save: bool


class ManifestDraft(Struct, frozen=True, kw_only=True):
    """A manifest as it would be, and what it would come to."""

    text: str
    """The whole file."""
    added: str
    """What is new in it."""
    desired: Desired
    left_out: Mapping[str, tuple[str, ...]]
    """By item, the keys of its file that it does not declare."""
    unfit: Mapping[str, Diagnostic]
    """By item that is declared without its template: why."""
    refused: Mapping[str, Diagnostic]
    """By id of what cannot be declared at all: why."""


class Manifest(Struct, frozen=True, kw_only=True):
    """The file that entries go into: its path, its text (None: a new one), and the first line of a new one."""

    path: str
    text: str | None
    head: str


def draft(
    project: Project, catalog: Catalog | None, cache: ParseCache | None, manifest: Manifest, texts: Sequence[Existing]
) -> ManifestDraft:
    """`manifest` with an entry for each of `texts`, and everything the manifests would declare with it.

    Nothing is written. Raises UsageError where entries cannot be added without touching what is there, InputError where
    the manifests have errors of their own.
    """
    pattern = _pattern(manifest, texts)
    entries = {text.id: _Entry(text, project, by_pattern=pattern.of(text)) for text in texts}
    refused: dict[str, Diagnostic] = {}
    while True:
        before, added, lines = _composed(manifest, pattern.written, entries.values())
        whole = before + added
        try:
            desired = load(project, catalog, cache, {manifest.path: whole.encode()} if entries else {})
        except InputError as error:
            found = [one for one in error.findings if one.severity is Severity.ERROR]
            blamed = [(place, one) for one in found if (place := _entry_of(one, manifest.path, lines)) is not None]
            if not blamed:
                raise
            for (id_, name, key), finding in blamed:
                if id_ in entries and not entries[id_].yields(name, key, finding):
                    refused[id_] = finding
                    del entries[id_]
            continue
        specs = {str(spec.id): spec for spec in desired.specs}
        if not [id_ for id_, entry in entries.items() if entry.corrected(specs[id_], project.preset)]:
            break
    return ManifestDraft(
        text=whole,
        added=added,
        desired=desired,
        left_out={id_: names for id_, entry in entries.items() if (names := entry.left_out)},
        unfit={id_: entry.unfit for id_, entry in entries.items() if entry.unfit is not None},
        refused=refused,
    )


def literal(value: Json) -> Json:
    """A value whose texts, filled in as templates, give the value again."""
    if isinstance(value, str):
        return JINJA.sub(lambda match: f"{{{{ '{match[0]}' }}}}", value)
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


# --- one entry ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entry:
    """What is declared of a text so far; each problem that reading it shows makes it say less."""

    text: Existing
    project: Project
    omitted: set[str] = field(default_factory=set)
    """Keys that are not declared."""
    erased: set[str] = field(default_factory=set)
    """Keys that defaults set and the file does not have as they say."""
    unfit: Diagnostic | None = None
    """Why it is declared without its template."""
    by_pattern: bool = False
    """Its output follows from its id by the manifest's defaults, so that an environment may state another one."""

    def __post_init__(self) -> None:
        declared = self.text.declared
        for name, value in self._said().items():
            if value is None or _reads_otherwise(value) or (declared is not None and name not in declared):
                self.omitted.add(name)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The keys of the file that it does not declare although it was to."""
        declared = self.text.declared
        return tuple(sorted(name for name in self.omitted if declared is None or name in declared))

    def _said(self) -> dict[str, Json]:
        """Title and front matter of the file."""
        return {**({TITLE_KEY: self.text.title} if self.text.title else {}), **self.text.front}

    @property
    def is_kept(self) -> bool:
        """Whether it is an item without a template."""
        return not self.text.spec or self.unfit is not None

    def yields(self, name: str, key: str, finding: Diagnostic) -> bool:
        """Say less where a finding is about `key` of the field `name`; False if there is nothing to leave out."""
        if name == "metadata":
            return self._leave_out({key} if key else {*self._said()} - self.omitted)
        if self.is_kept or name == "output" or (name == "id" and finding.code not in _UNFIT):
            return False
        self.unfit = finding
        return True

    def corrected(self, spec: Spec, preset: str) -> bool:
        """Leave out what would not come back as the file has it; returns whether there was anything."""
        said = self._said()
        other = set()
        if self.by_pattern and spec.output != self.text.output:
            self.by_pattern = False
            return True
        for name, value in spec.metadata.items():
            [(key, wanted)] = apply_preset(preset, {name: value}).items()
            if key not in said or not is_same_json(said[key], wanted):
                other.add(name)
        return self._leave_out(other)

    def _leave_out(self, names: set[str]) -> bool:
        new = names - self.erased
        # A key that is left out already, or was never there, comes from defaults.
        self.erased |= {name for name in new if name in self.omitted or name not in self._said()}
        self.omitted |= new & self._said().keys()
        return bool(new)

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """The lines of the entry, each with the field and the key below it that it belongs to."""
        for name, value in self._fields().items():
            nested = isinstance(value, dict) and name in ("metadata", "inputs")
            if not nested or not value:
                yield from ((line, name, "") for line in write_pair(name, value))
                continue
            yield f"{name}:", name, ""
            for key, inner in value.items():
                yield from ((f"  {line}", name, key) for line in write_pair(key, inner))

    def _fields(self) -> dict[str, Json]:
        text, project = self.text, self.project
        fields: dict[str, Json] = {"id": text.id}
        if self.is_kept:
            if any(layer.get("template") for layer in (project.defaults, project.environment_defaults)):
                fields["template"] = None
            fields["protected"] = True
        else:
            fields |= {name: literal(text.spec[name]) for name in REQUEST_FIELDS if name in text.spec}
        if not text.save:
            fields["save"] = False
        if text.output and not self.by_pattern:
            fields["output"] = literal(text.output)
        metadata = {name: literal(value) for name, value in self._said().items() if name not in self.omitted}
        metadata |= dict.fromkeys(sorted(self.erased))
        return {**fields, "metadata": metadata} if metadata else fields


def _reads_otherwise(value: Json) -> bool:
    """Whether readers of front matter differ about a value: then it is not ours to write again."""
    if isinstance(value, str):
        return value.lower() in _BOOLEANS
    if isinstance(value, dict):
        return "<<" in value or any(_reads_otherwise(inner) for inner in (*value, *value.values()))
    return isinstance(value, list) and any(map(_reads_otherwise, value))


# --- the file ----------------------------------------------------------------------------------------------

_EntryLines = dict[int, tuple[str, str, str]]
"""By line, the entry, the field and the key below it."""


class _Pattern(Struct, frozen=True):
    """The ending with which ids become outputs, and whether a new manifest has to state that; empty: they do not."""

    ending: str = ""
    is_new: bool = False

    def of(self, text: Existing) -> bool:
        """Whether the output of a text follows from its id."""
        return bool(self.ending) and text.output == f"{text.id}{self.ending}"

    @property
    def written(self) -> list[str]:
        """The lines that a new manifest says so with."""
        return (
            ["defaults:", *(f"  {line}" for line in write_pair("output", _BY_ID + self.ending))] if self.is_new else []
        )


_BY_ID: Final = "{{ item.id }}"


def _pattern(manifest: Manifest, texts: Iterable[Existing]) -> _Pattern:
    """The pattern of a manifest that is there, else the one that fits the most of the texts."""
    if manifest.text is not None and _indent(manifest.path, manifest.text) is not None:
        stated = (read_yaml(manifest.path, manifest.text.encode())[0].root or {}).get("defaults")
        output = stated.get("output") if isinstance(stated, dict) else None
        is_ours = isinstance(output, str) and output.startswith(_BY_ID)
        return _Pattern(str(output).removeprefix(_BY_ID)) if is_ours else _Pattern()
    fitting = Counter(
        ending for text in texts if (ending := text.output.removeprefix(text.id)) in (".md", ".markdown", ".mdx")
    )
    return _Pattern(fitting.most_common(1)[0][0], is_new=True) if fitting else _Pattern()


def _composed(manifest: Manifest, pattern: list[str], entries: Iterable[_Entry]) -> tuple[str, str, _EntryLines]:
    """The manifest as it is, the text to add, and the entry of each added line. `pattern` begins a new manifest."""
    before = manifest.text or ""
    indent = _indent(manifest.path, before)
    newline = "\r\n" if "\r\n" in before else "\n"
    gap = newline if before and not before.endswith("\n") else ""
    added = [f"# {manifest.head}", *pattern, "items:"] if indent is None else []
    first = before.count("\n") + bool(gap) + 1
    lines: _EntryLines = {}
    for entry in entries:
        mark = f"{'  ' if indent is None else indent}- "
        for line, name, key in entry.lines():
            lines[first + len(added)] = (entry.text.id, name, key)
            added.append(mark + line)
            mark = " " * len(mark)
    return before, gap + newline.join([*added, ""]), lines


def _indent(path: str, text: str) -> str | None:
    """How far the entries at the end of a manifest stand to the right; None for one that declares nothing yet.

    Raises UsageError where nothing can be added at its end.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return None
    top = [number for number, line in enumerate(lines) if not line.startswith((" ", "-"))]
    last = lines[top[-1] + 1 :] if top and _ITEMS.match(lines[top[-1]]) else []
    if match := _ENTRY.match(last[0]) if last else None:
        return match["indent"]
    message = f"nothing can be added to the end of `{path}`, as no list of items ends it"
    raise UsageError(message, code="not-extendable", hint="name a new file with `--into`, or let `items` stand last")


def _entry_of(problem: Diagnostic, path: str, lines: _EntryLines) -> tuple[str, str, str] | None:
    at = problem.location
    return lines.get(at.line) if at is not None and at.file == path else None

"""Writes manifest entries for existing texts and for the front matter of their files.

It can also write a single input of an entry. The new manifest is loaded before it is used. A key is omitted if the
manifest would give it another value than the file has. An item that does not fit its template is declared without one.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from contentops.digest import is_same_json
from contentops.documents.front_matter import TITLE_KEY
from contentops.documents.preset import apply_preset
from contentops.errors import Diagnostic, InputError, Severity, UsageError
from contentops.manifests.load import load
from contentops.model import REQUEST_FIELDS, Catalog, Desired, Json, Project, Spec
from contentops.yaml.positions import Source, YamlDocument
from contentops.yaml.read import read_yaml
from contentops.yaml.syntax import JINJA
from contentops.yaml.write import write_pair

# YAML 1.1 reads these as booleans without quotes, YAML 1.2 as texts.
_BOOLEANS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
_UNFIT: Final = frozenset({"missing-input", "missing-key"})
"""Codes of findings about a whole item that depend on its template."""
_ITEMS: Final = re.compile(r"items:[ \t]*(?:#.*)?\r?$")
_ENTRY: Final = re.compile(r"(?P<indent> *)- ")


class Existing(Struct, frozen=True, kw_only=True):
    """An existing text that gets a manifest entry."""

    id: str
    spec: Mapping[str, Json]
    """Known values of REQUEST_FIELDS; empty for an item that is never generated."""
    output: str = ""
    """Empty for the default of the project."""
    title: str = ""
    front: Mapping[str, Json]
    """Front matter without title and `contentops` block."""
    declared: frozenset[str] | None = None
    """The keys to declare; None: all."""
    save: bool


class Manifest(Struct, frozen=True, kw_only=True):
    """The manifest that gets the new entries. `text` is None for a new file, whose first line is `head`."""

    path: str
    text: str | None
    head: str


class ManifestDraft(Struct, frozen=True, kw_only=True):
    """A new or extended manifest, and everything that the project's manifests would declare with it."""

    manifest: Manifest
    """The file as it is."""
    text: str
    """The whole file."""
    added: str
    """The new part of it."""
    desired: Desired
    left_out: Mapping[str, tuple[str, ...]]
    """By item, the keys of its file that are not declared."""
    unfit: Mapping[str, Diagnostic]
    """By item that is declared without its template, the reason."""
    refused: Mapping[str, Diagnostic]
    """By id of a text that cannot be declared, the reason."""


def draft(project: Project, catalog: Catalog | None, manifest: Manifest, texts: Sequence[Existing]) -> ManifestDraft:
    """Return `manifest` with a new entry for each text, and all items that would then be declared.

    Writes no file. Raises UsageError if entries cannot be appended to the manifest, InputError if the manifests have
    other errors.
    """
    pattern = _pattern(manifest, texts)
    entries = {text.id: _Entry(text, project, by_pattern=pattern.of(text)) for text in texts}
    refused: dict[str, Diagnostic] = {}
    while True:
        before, added, lines = _composed(manifest, pattern.written, entries.values())
        whole = before + added
        try:
            desired = load(project, catalog, {manifest.path: whole.encode()} if entries else {})
        except InputError as error:
            errors = [one for one in error.findings if one.severity is Severity.ERROR]
            own = [(one.location.line, one) for one in errors if one.location and one.location.file == manifest.path]
            blamed = [(lines[line], one) for line, one in own if line in lines]
            if not blamed:
                raise
            for (id_, name, key), finding in blamed:
                if id_ in entries and not entries[id_].omit_cause(name, key, finding):
                    refused[id_] = finding
                    del entries[id_]
            continue
        specs = {str(spec.id): spec for spec in desired.specs}
        if not [id_ for id_, entry in entries.items() if entry.corrected(specs[id_], project.preset)]:
            break
    return ManifestDraft(
        manifest=manifest,
        text=whole,
        added=added,
        desired=desired,
        left_out={id_: names for id_, entry in entries.items() if (names := entry.left_out)},
        unfit={id_: entry.unfit for id_, entry in entries.items() if entry.unfit is not None},
        refused=refused,
    )


def literal(value: Json) -> Json:
    """Return a value in which Jinja is escaped, so that rendering it gives the original value."""
    if isinstance(value, str):
        return JINJA.sub(lambda match: f"{{{{ '{match[0]}' }}}}", value)
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


def with_input(path: str, text: str, item: str, name: str, value: str) -> str:
    """Return the text of a manifest with a new value for one input of an item. The other text stays unchanged.

    Raises UsageError if the item has no entry of its own, or if its `inputs` cannot be changed in place.
    """
    document, _ = read_yaml(path, text.encode())
    source, wanted = document.source, copy.deepcopy(document.root)
    at = next((at for at, entry in enumerate(wanted["items"]) if entry.get("id") == item), None)
    if at is None:
        hint = f"if `for_each` makes it, give the rows a column for the input `{name}`, and write it there"
        raise UsageError(f"`{item}` is not one entry of `{path}`", code="input-not-written", hint=hint)
    if source.places.root is not None and wanted["items"][at].get("inputs"):
        wanted["items"][at]["inputs"][name] = literal(value)
        inputs = source.places.root.keys["items"][1].entries[at].keys["inputs"][1]
        (written,) = write_pair(name, literal(value))
        if name in inputs.keys:
            old = inputs.keys[name]
            start, end = old[0].start, old[1].end if old[1].flow is None else old[0].end
            new = text[:start] + written + text[start + len(text[start:end].rstrip()) :]
        else:
            first = next(key.start for key, _ in inputs.keys.values())
            indent = "\n" + " " * (source.mark(first)[1] - 1)
            gap = ", " if inputs.flow else indent if "\r\n" not in text else f"\r{indent}"
            new = text[:first] + written + gap + text[first:]
        if read_yaml(path, new.encode()) == (YamlDocument(Source(path, new), wanted), []):
            return new
    hint = f"write it there by hand: `{write_pair(name, literal(value))[0]}`"
    message = f"the input `{name}` cannot be written into the entry `{item}` of `{path}`"
    raise UsageError(message, code="input-not-written", hint=hint)


# --- one entry ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entry:
    """The manifest entry that is written for one text. Keys with problems are left out."""

    text: Existing
    project: Project
    omitted: set[str] = field(default_factory=set)
    """Keys that are not declared."""
    nulled: set[str] = field(default_factory=set)
    """Keys for which defaults set another value than the file has."""
    unfit: Diagnostic | None = None
    """Why it is declared without its template."""
    by_pattern: bool = False
    """Whether the manifest's defaults give its output, so that environments can state another one."""

    def __post_init__(self) -> None:
        declared = self.text.declared
        for name, value in self._file_values().items():
            if value is None or _is_ambiguous(value) or (declared is not None and name not in declared):
                self.omitted.add(name)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the front matter keys that should be in the entry but are left out."""
        declared = self.text.declared
        return tuple(sorted(name for name in self.omitted if declared is None or name in declared))

    def _file_values(self) -> dict[str, Json]:
        """Return the title and the front matter of the file in one map."""
        return {**({TITLE_KEY: self.text.title} if self.text.title else {}), **self.text.front}

    @property
    def is_kept(self) -> bool:
        """Return whether the text is declared as an item without a template."""
        return not self.text.spec or self.unfit is not None

    def omit_cause(self, name: str, key: str, finding: Diagnostic) -> bool:
        """Leave out the metadata key or the fields that caused a finding in the entry.

        The finding is about the field `name`, and about `key` inside it if `key` is not empty. If the field is not
        `metadata`, the text is declared as an item without a template. Return False if the field must stay.
        """
        if name == "metadata":
            return self._leave_out({key} if key else {*self._file_values()} - self.omitted)
        if self.is_kept or name == "output" or (name == "id" and finding.code not in _UNFIT):
            return False
        self.unfit = finding
        return True

    def corrected(self, spec: Spec, preset: str) -> bool:
        """Leave out the metadata keys whose values would differ from those in the text's file.

        If the pattern for output paths gives a wrong path, the entry only gets its own path instead. Return whether the
        entry changed.
        """
        if self.by_pattern and spec.output != self.text.output:
            self.by_pattern = False
            return True
        file_values = self._file_values()
        written = {name: apply_preset(preset, {name: value}) for name, value in spec.metadata.items()}
        given = {name: {key: file_values[key] for key in pair if key in file_values} for name, pair in written.items()}
        return self._leave_out({name for name in written if not is_same_json(given[name], written[name])})

    def _leave_out(self, names: set[str]) -> bool:
        new = names - self.nulled
        # A key that is omitted already, or is not in the file, comes from defaults.
        self.nulled |= {name for name in new if name in self.omitted or name not in self._file_values()}
        self.omitted |= new & self._file_values().keys()
        return bool(new)

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield each line of the entry, with the field and the inner key that the line belongs to."""
        for name, value in self._fields().items():
            nested = value if isinstance(value, dict) and name in ("metadata", "inputs") else {}
            yield from ((line, name, "") for line in ([f"{name}:"] if nested else write_pair(name, value)))
            for key, inner in nested.items():
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
        metadata = {name: literal(value) for name, value in self._file_values().items() if name not in self.omitted}
        metadata |= dict.fromkeys(sorted(self.nulled))
        return {**fields, "metadata": metadata} if metadata else fields


def _is_ambiguous(value: Json) -> bool:
    """Return whether some YAML programs read this front matter value differently from others.

    Such a value is not declared.
    """
    if isinstance(value, str):
        return value.lower() in _BOOLEANS
    if isinstance(value, dict):
        return "<<" in value or any(_is_ambiguous(inner) for inner in (*value, *value.values()))
    return isinstance(value, list) and any(map(_is_ambiguous, value))


# --- the file ----------------------------------------------------------------------------------------------

_EntryLines = dict[int, tuple[str, str, str]]
"""By line, the entry, the field and the key below it."""


class _Pattern(Struct, frozen=True):
    """A pattern for output paths: the id of the item, then `ending`. `is_new`: the manifest does not set it yet."""

    ending: str = ""
    is_new: bool = False

    def of(self, text: Existing) -> bool:
        """Return whether the output path of a text consists of its id and the ending."""
        return bool(self.ending) and text.output == f"{text.id}{self.ending}"

    @property
    def written(self) -> list[str]:
        """Return the lines of a new manifest that set the pattern for output paths. An existing one gets none."""
        return (
            ["defaults:", *(f"  {line}" for line in write_pair("output", _BY_ID + self.ending))] if self.is_new else []
        )


_BY_ID: Final = "{{ item.id }}"


def _pattern(manifest: Manifest, texts: Iterable[Existing]) -> _Pattern:
    """Return the output pattern of an existing manifest.

    For a new manifest, return the pattern that fits most of the texts.
    """
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
    """Return the present text of the manifest, the text to append, and the entry of each appended line."""
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
    """Return how far the entries of a manifest are indented, or None if the manifest is empty.

    Raises UsageError if no entry can be appended.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return None
    top = [number for number, line in enumerate(lines) if not line.startswith((" ", "-"))]
    last = lines[top[-1] + 1 :] if top and _ITEMS.match(lines[top[-1]]) else []
    if match := _ENTRY.match(last[0]) if last else None:
        return match["indent"]
    message = f"nothing can be added to `{path}`: it does not end with a list of items"
    raise UsageError(message, code="not-extendable", hint="name a new file with `--into`, or move `items` to the end")

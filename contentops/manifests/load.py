"""Reads everything the manifests declare: the module of this package that puts the stages together.

    discover -> read -> (parse cache, else: layer -> expand -> render -> validate) -> cross-check

Each manifest file is worked through on its own, which is what the parse cache keeps; what only shows between files
is checked every time. Problems are collected, so that a person sees all of them at once.
"""

from __future__ import annotations

import functools
import operator
import posixpath
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import msgspec

from contentops import __version__
from contentops.collector import collect_new, without_collection
from contentops.digest import digest_bytes, digest_json
from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.cross_checks import check_across, check_environment, check_unused, inputs_of
from contentops.manifests.data import read_rows
from contentops.manifests.discover import FileError, ProjectFiles, discover
from contentops.manifests.expand import command_line, data_paths, entries_of, expand, layers
from contentops.manifests.items import make_items, warn_unused
from contentops.manifests.parse_cache import FORMAT, FileResult
from contentops.manifests.parse_cache import decode as decode_result
from contentops.manifests.parse_cache import encode as encode_result
from contentops.manifests.problems import Problems, counted, in_order, meant, with_meant
from contentops.manifests.schema import check_schema
from contentops.manifests.templates import Templates
from contentops.model import PROJECT_FILE, Catalog, Desired, ItemId, Moved, Project
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, YamlDocument, finding, locate
from contentops.yaml.read import decode, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.manifests.data import DataFile, DataRow
    from contentops.manifests.templates import MacroFile
    from contentops.yaml.positions import Pointer


class FileBuilder:
    """Builds manifest files one by one; compiled templates and the rows of data files are shared.

    `read_data` gives a data file by its path, whether it exists or not.
    """

    def __init__(
        self,
        project: Project,
        settings: Source,
        catalog: Catalog | None,
        read_data: Callable[[str], DataFile],
        macros: MacroFile | None = None,
    ) -> None:
        self.project = project
        self.project_source = settings
        self.catalog = catalog
        self.macros = macros
        self.templates = Templates(macros=macros)
        self.builtin = {"project": project.name, "environment": project.environment}
        self.cli = command_line(project)
        self._read_data = read_data
        self._read: dict[str, tuple[list[DataRow], list[Diagnostic]]] = {}

    def build(self, path: str, content: bytes) -> FileResult:
        """What a manifest comes to, by its bytes; `path` is relative to the project root."""
        from contentops.manifests.validate import check_item

        document, findings = read_yaml(path, content)
        schema = load_schema("manifest")
        shape = check_schema(document, schema)
        problems = Problems()
        rows, asked = self._rows(document, problems)
        if self.macros:
            asked[self.macros.path] = self.macros.digest
            for problem in self.macros.problems:
                problems.add(problem)
        below = layers(self.project, self.project_source, document, problems)
        declared = expand(document, below, rows, self.cli, problems)
        if shape:
            declared = with_meant(declared, document, schema)
        made = make_items(
            declared,
            problems,
            builtin=self.builtin,
            templates=self.templates,
            check=functools.partial(
                check_item,
                catalog=self.catalog,
                preset=self.project.preset,
                find=lambda written: self._resolve(written, path, asked),
            ),
        )
        if not problems.errors and not findings and not shape:
            warn_unused(below, made, problems)
            _warn_empty(document, problems)
        places = {found.location for found in (*findings, *shape)}
        own = [found for found in problems.done() if found.location not in places]
        readable = not findings or document.root is not None
        hidden = bool(shape) and "items" in meant(document.root, schema["properties"])
        return FileResult(
            path=path,
            specs=tuple(made.specs),
            claims=tuple(made.claims),
            moved=tuple(_moved(document)),
            findings=tuple(in_order([*findings, *shape, *own])),
            used=frozenset(made.used),
            data=tuple(sorted(asked.items())),
            complete=made.complete and readable and not hidden and made.declarations == _declarations(document),
            items=made.declarations,
        )

    def _rows(
        self, document: YamlDocument, problems: Problems
    ) -> tuple[dict[Pointer, Sequence[DataRow]], dict[str, Digest]]:
        """The rows items ask for, by where each file is named, and the data files that were looked for."""
        found: dict[Pointer, Sequence[DataRow]] = {}
        asked: dict[str, Digest] = {}
        for index, entry in entries_of(document):
            for pointer, written in data_paths(index, entry):
                data = self._resolve(written, document.source.path, asked)
                if isinstance(data, str):
                    whose, hint = "`for_each`", "paths are relative to the project root, or to the manifest's folder"
                    if pointer[2] == "matrix":
                        whose = f"the axis `{pointer[-1]}` of `matrix`"
                        hint += f"; an axis of one value is `[{written[:40]}]`"
                    message = f"{whose} names `{written[:200]}`, which {data}"
                    problems.in_document(document, "no-data-file", message, pointer, hint=hint)
                    continue
                rows, findings = self._read_rows(data)
                for found_there in findings:
                    problems.add(found_there)
                if not findings:
                    found[pointer] = rows
        return found, asked

    def _resolve(self, written: str, manifest: str, asked: dict[str, Digest]) -> DataFile | str:
        """The data file a path names, or why there is none; the project root comes before the manifest's folder."""
        if problem := _data_path_problem(written):
            return problem
        places = dict.fromkeys(
            posixpath.normpath(posixpath.join(folder, written)) for folder in ("", posixpath.dirname(manifest))
        )
        inside = [place for place in places if place != ".." and not place.startswith("../")]
        if not inside:
            return "leaves the project with `..`"
        for place in inside:
            data = self._read_data(place)
            asked[place] = data.digest
            if data.digest:
                return data
        return "does not exist: looked for " + " and ".join(f"`{place}`" for place in inside)

    def _read_rows(self, data: DataFile) -> tuple[list[DataRow], list[Diagnostic]]:
        """The rows and findings of a data file."""
        if data.problem is not None:
            return [], [data.problem]
        if data.path not in self._read:
            self._read[data.path] = read_rows(data.path, data.content)
        return self._read[data.path]


def _data_path_problem(written: str) -> str:
    if not written.strip():
        return "is empty"
    if "{{" in written or "{%" in written:
        return "holds Jinja, which a path of data cannot"
    if "\\" in written:
        return "holds a backslash; write / between folders"
    if written.startswith(("/", "~")) or ":" in written.partition("/")[0]:
        return "is absolute"
    if not written.isprintable():
        return "holds characters that cannot be seen"
    return ""


def _declarations(document: YamlDocument) -> int:
    items = document.root.get("items") if isinstance(document.root, dict) else None
    return len(items) if isinstance(items, list) else 0


def _warn_empty(document: YamlDocument, problems: Problems) -> None:
    """Warn about a manifest that declares nothing, unless it says so by an empty list."""
    root = document.root or {}
    if root.get("moved") or isinstance(root.get("items"), list):
        return
    message = "this manifest declares nothing"
    hint = "declare items under `items`, or remove the file; `items: []` says that none is meant"
    where = ("items",)
    problems.add(finding(document, "empty-manifest", message, where, key=True, hint=hint, severity=Severity.WARNING))


def _moved(document: YamlDocument) -> Iterator[Moved]:
    pairs = document.root.get("moved") if isinstance(document.root, dict) else None
    for index, pair in enumerate(pairs if isinstance(pairs, list) else ()):
        old, new = (pair.get("from"), pair.get("to")) if isinstance(pair, dict) else (None, None)
        if isinstance(old, str) and isinstance(new, str):
            yield Moved(old=ItemId(old), new=ItemId(new), location=locate(document, ("moved", index)))


class ParseCache(Protocol):
    """Keeps what manifest files came to. It may lose or damage anything; that costs time, never the answer."""

    def get(self, key: str) -> str | None:
        """The text stored under a key, or None."""

    def put(self, key: str, value: str) -> None:
        """Store a text under a key."""


def load(
    project: Project,
    catalog: Catalog | None,
    cache: ParseCache | None = None,
    drafts: Mapping[str, bytes] = MappingProxyType({}),
) -> Desired:
    """Everything the manifests of a project declare, rendered and checked.

    `drafts` are manifests by path that count as if they stood there. Without a catalog, slugs and inputs are not
    checked, and one note says so. Raises InputError with every finding of every file if one of them is an error; else
    `Desired.findings` holds the warnings and notes.
    """
    with without_collection():
        return Loader(project, catalog, cache, drafts).run()


class Loader:
    """One load: the files read so far, and what all manifest files share."""

    def __init__(
        self,
        project: Project,
        catalog: Catalog | None,
        cache: ParseCache | None,
        drafts: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.project = project
        self.catalog = catalog
        self.cache = cache
        self.drafts = drafts
        self.files = ProjectFiles(Path(project.root))
        self.data: dict[str, DataFile] = {}
        self.sources: dict[str, Source] = {}
        self.project_source = Source(PROJECT_FILE, project.text)
        self.macros = self._read_macros() if project.macros else None
        self.context = _context(project, catalog, self.macros)
        self._builder: FileBuilder | None = None

    def run(self) -> Desired:
        """Load every file, then check them together."""
        paths, findings = self.discover()
        results = list(map(self.load_file, sorted({*paths, *self.drafts})))
        # A YAML file of rows may lie where manifests are searched for; it is data wherever it is named as data.
        rows = {path for result in results for path, digest in result.data if digest}
        rows -= {self.macros.path} if self.macros else set()  # a manifest that is named as macros is still one
        results = [result for result in results if result.path not in rows]
        findings += _across_files(results)
        findings += self.macros.unread if self.macros else []
        findings += check_across(results, self._source)
        findings += check_unused(self.project, self.project_source, results)
        findings += check_environment(self.project, self.project_source, results)
        findings += _unchecked(self.project, self.catalog, results)
        findings = in_order(dict.fromkeys(findings))
        if any(found.severity is Severity.ERROR for found in findings):
            raise InputError(findings)
        specs = (spec for result in results for spec in result.specs)
        return Desired(
            specs=tuple(sorted(specs, key=operator.attrgetter("id"))),
            moved=tuple(entry for result in results for entry in result.moved),
            findings=tuple(findings),
            manifests=tuple(result.path for result in results),
            inputs=inputs_of(results),
            looked_at=tuple(sorted({*paths, *self.data, *self.files.searched})),
        )

    def discover(self) -> tuple[list[str], list[Diagnostic]]:
        """The paths of all manifests, sorted, and what is wrong with the globs."""
        return discover(self.project, self.project_source, self.files)

    # --- files ---------------------------------------------------------------------------------------------

    def _source(self, path: str) -> Source:
        """The text of a manifest, for the excerpt of a finding; empty if it went away meanwhile."""
        if path not in self.sources:
            try:
                content = self.drafts.get(path) or self.files.read(path) or b""
            except FileError:
                content = b""
            self.sources[path] = decode(path, content)[0]
        return self.sources[path]

    def _read_data(self, path: str) -> DataFile:
        if path not in self.data:
            self.data[path] = self.files.read_data(path)
        return self.data[path]

    def _read_macros(self) -> MacroFile:
        from contentops.manifests.templates import MacroFile

        data = self._read_data(posixpath.normpath(self.project.macros))
        return MacroFile(self.project, self.project_source, data)

    # --- one manifest --------------------------------------------------------------------------------------

    @property
    def builder(self) -> FileBuilder:
        """Works through a manifest that is not in the cache."""
        if self._builder is None:
            self._builder = FileBuilder(self.project, self.project_source, self.catalog, self._read_data, self.macros)
        return self._builder

    def load_file(self, path: str) -> FileResult:
        """What the manifest at a path comes to."""
        try:
            content = self.drafts.get(path) or self.files.read(path)
        except FileError as error:
            return FileResult(path=path, findings=(error.finding,), complete=False)
        if content is None:
            message = f"`{path}` went away while the manifests were read"
            gone = Diagnostic(code="unreadable-file", message=message, location=Location(path), hint="run it again")
            return FileResult(path=path, findings=(gone,), complete=False)
        if self.cache is None:
            return self.builder.build(path, content)
        digest = digest_bytes(content)
        result = self.stored(path, digest)
        if result is None:
            text = encode_result(self.builder.build(path, content))
            self.cache.put(self._key(path, digest), text)
            # What the cache gives takes a tenth of the memory.
            result = decode_result(text) or self.builder.build(path, content)
            collect_new()
        return result

    def stored(self, path: str, digest: Digest) -> FileResult | None:
        """What the manifest of this digest came to, if the cache knows it; the data it was made from is still there."""
        stored = None if self.cache is None else self.cache.get(self._key(path, digest))
        result = None if stored is None else decode_result(stored)
        return result if result is not None and result.path == path and self._unchanged(result.data) else None

    def _key(self, path: str, digest: Digest) -> str:
        return digest_json([FORMAT, __version__, self.context, path, digest])

    def _unchanged(self, data: Iterable[tuple[str, Digest]]) -> bool:
        """Whether the data files are the ones a stored result was made from."""
        return all(self._read_data(path).digest == digest for path, digest in data)


def _across_files(results: Sequence[FileResult]) -> list[Diagnostic]:
    """The findings of all files; one about a shared place (a project default) is kept from the first file."""
    kept: list[Diagnostic] = []
    others: dict[tuple[str, Location | None, str], int] = {}
    for result in results:
        for found in result.findings:
            if found.location is not None and found.location.file == PROJECT_FILE:
                key = (found.code, found.location, found.hint)
                others[key] = others.get(key, -1) + 1
                if others[key]:
                    continue
            kept.append(found)
    return [counted(found, others.get((found.code, found.location, found.hint), 0), "file") for found in kept]


def _unchecked(project: Project, catalog: Catalog | None, results: Sequence[FileResult]) -> list[Diagnostic]:
    """A note where items are not held against what the server offers, as it is not known."""
    if catalog is None and any(each.items for each in results):
        message = "templates, styles and inputs are not checked: there is no catalog of this server"
        hint = "run `contentops catalog pull` and commit `catalog.lock.json`"
        return [Diagnostic(code="no-catalog", message=message, severity=Severity.NOTE, hint=hint)]
    if catalog is None or catalog.brand_voices is not None or project.api.base_url == "local":
        # The embedded server takes any brand voice.
        return []
    if not any(spec.request.brand_voice for each in results for spec in each.specs):
        return []
    message = "brand voices are not checked: the server does not tell which there are"
    hint = "`contentops catalog pull` asks again; the server itself says whether it knows an id"
    return [Diagnostic(code="unchecked-brand-voice", message=message, severity=Severity.NOTE, hint=hint)]


def _context(project: Project, catalog: Catalog | None, macros: MacroFile | None) -> str:
    """The digest of everything but a manifest's own bytes that shapes what it comes to."""
    layered = [
        project.text,
        project.name,
        project.environment,
        [project.output, project.environment_output],
        [project.defaults, project.environment_defaults],
        [project.vars, project.environment_vars, project.cli_vars],
        catalog,
        [macros.path, macros.digest] if macros else None,
    ]
    return digest_bytes(msgspec.json.encode(layered, order="deterministic"))

"""Loads everything that the manifests of a project declare.

    discover -> read -> (parse cache, else: layer -> expand -> render -> validate) -> cross-check

The parse cache keeps the result of each manifest file; the checks across files run every time. Problems are collected,
so that a person sees all of them at once.
"""

from __future__ import annotations

import functools
import operator
import posixpath
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from contentops import __version__
from contentops.collector import collect_new, without_collection
from contentops.digest import digest_bytes, digest_text
from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.cross_checks import check_across, check_environment, check_unused, inputs_of
from contentops.manifests.discover import FileError, ProjectFiles, discover
from contentops.manifests.parse_cache import FORMAT, FileResult
from contentops.manifests.parse_cache import decode as decode_result
from contentops.manifests.parse_cache import encode as encode_result
from contentops.manifests.problems import counted, in_order
from contentops.model import PROJECT_FILE, AcceptedTexts, Catalog, Desired, Project
from contentops.parallel import distribute
from contentops.yaml.positions import Source
from contentops.yaml.read import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.digest import Digest
    from contentops.manifests.build import FileBuilder
    from contentops.manifests.data import DataFile
    from contentops.manifests.expand import Declared
    from contentops.manifests.templates import MacroFile

_REFERS: Final = "refers"
"""Stored for a manifest that refers to texts, which has two results: with placeholders for them, and with them."""
_FIRST, _SECOND = "first ", "second "
_WORTH_SHARING: Final = 1 << 20
"""Fewer bytes of manifests are built faster than other processes start."""


class ParseCache(Protocol):
    """Keeps the results of manifest files. It may lose or damage entries; they are built again."""

    def get(self, key: str) -> str | None:
        """The text stored under a key, or None."""

    def put(self, key: str, value: str) -> None:
        """Store a text under a key."""


def load(
    project: Project,
    catalog: Catalog | None,
    cache: ParseCache | None = None,
    drafts: Mapping[str, bytes] = MappingProxyType({}),
    processes: int = 1,
    accepted: AcceptedTexts | None = None,
) -> Desired:
    """Everything the manifests of a project declare, rendered and checked.

    `drafts` are manifests by path that replace files or are added to them. Without a catalog, slugs and inputs are not
    checked, and a note says so. Up to `processes` build what the cache lacks. `accepted` are the texts that `ref`
    reads; without them, items that use any wait. Raises InputError with every finding of every file if one of them is
    an error; else `Desired.findings` has the warnings and notes.
    """
    with without_collection():
        return Loader(project, catalog, cache, drafts, processes, accepted).run()


class Loader:
    """The files read so far, and what all manifest files share."""

    def __init__(
        self,
        project: Project,
        catalog: Catalog | None,
        cache: ParseCache | None,
        drafts: Mapping[str, bytes] = MappingProxyType({}),
        processes: int = 1,
        accepted: AcceptedTexts | None = None,
    ) -> None:
        self.accepted = accepted
        self.project = project
        self.catalog = catalog
        self.cache = cache
        self.drafts = drafts
        self.processes = processes
        self.files = ProjectFiles(Path(project.root))
        self.data: dict[str, DataFile] = {}
        self.sources: dict[str, Source] = {}
        self.project_source = Source(PROJECT_FILE, project.text)
        self.macros = self._read_macros() if project.macros else None
        self.context = _context(project, catalog, self.macros)

    def run(self) -> Desired:
        """Load every file, then check them together."""
        paths, findings = discover(self.project, self.project_source, self.files)
        results = self.load_files(sorted({*paths, *self.drafts}))
        # A YAML file that manifests name as data is not a manifest, also where a glob for manifests matches it.
        rows = {path for result in results for path, digest in result.data if digest}
        rows -= {self.macros.path} if self.macros else set()  # a manifest that is named as macros is still one
        results = [result for result in results if result.path not in rows]
        if any(result.refers for result in results):
            results = self._with_texts(results)
        findings += _across_files(results)
        findings += self.macros.unread if self.macros else []
        findings += check_across(results, self._source, self.project.manifests)
        findings += check_unused(self.project, self.project_source, results)
        findings += check_environment(self.project, self.project_source, results)
        findings += _unchecked(self.project, self.catalog, results)
        findings = in_order(dict.fromkeys(findings))
        looked_at = tuple(sorted({*paths, *self.data, *self.files.searched}))
        if any(problem.severity is Severity.ERROR for problem in findings):
            raise InputError(findings, looked_at)
        specs = tuple(sorted((spec for result in results for spec in result.specs), key=operator.attrgetter("id")))
        moved = tuple(entry for result in results for entry in result.moved)
        declared = {spec.id for spec in specs} if moved else set()
        return Desired(
            specs=specs,
            # The pair of an item that was renamed and later removed has no effect.
            moved=tuple(entry for entry in moved if entry.new in declared),
            findings=tuple(findings),
            manifests=tuple(result.path for result in results),
            inputs=inputs_of(results),
            looked_at=looked_at,
        )

    def declarations(self, path: str) -> tuple[list[Declared], list[Diagnostic]]:
        """The entries of one manifest with the rows that each chooses, before rendering, and findings."""
        content = self._read(path)
        return (
            ([], list(content.findings))
            if isinstance(content, FileResult)
            else self.builder.declarations(path, content)
        )

    # --- files ---------------------------------------------------------------------------------------------

    def _source(self, path: str) -> Source:
        """The text of a manifest, for the excerpt of a finding; empty if the file is gone."""
        if path not in self.sources:
            try:
                content = self.drafts.get(path) or self.files.read(path) or b""
            except FileError:
                content = b""
            self.sources[path] = decode(path, content)[0]
        return self.sources[path]

    def _read_data(self, path: str) -> DataFile:
        """A data file, read once."""
        if path not in self.data:
            self.data[path] = self.files.read_data(path)
        return self.data[path]

    def _read_macros(self) -> MacroFile:
        from contentops.manifests.templates import MacroFile

        data = self._read_data(posixpath.normpath(self.project.macros))
        return MacroFile(self.project, self.project_source, data)

    # --- one manifest --------------------------------------------------------------------------------------

    @functools.cached_property
    def builder(self) -> FileBuilder:
        """Builds manifests that are not in the cache."""
        from contentops.manifests.build import FileBuilder

        return FileBuilder(self.project, self.project_source, self.catalog, self._read_data, self.macros)

    def load_files(self, paths: Sequence[str]) -> list[FileResult]:
        """The result of each manifest; several processes build those that the cache lacks, if they are large."""
        loaded: dict[str, FileResult] = {}
        unknown: dict[str, bytes] = {}
        for path in paths:
            content = self._read(path)
            if isinstance(content, FileResult):
                loaded[path] = content
            elif self.cache is None:
                loaded[path] = self.builder.build(path, content)
            elif (stored := self._stored(path, digest_bytes(content))) is not None:
                loaded[path] = stored
            else:
                unknown[path] = content

        def build(path: str) -> str:
            text = encode_result(self.builder.build(path, unknown[path]))
            collect_new()
            return text

        def store_result(path: str, text: str) -> None:
            content = unknown.pop(path)
            # A result that was decoded from its text takes a tenth of the memory.
            result = loaded[path] = self._of_text(path, text) or self.builder.build(path, content)
            self._store(result, digest_bytes(content), text)

        sizes = {path: len(content) for path, content in unknown.items()}
        processes = self.processes if sum(sizes.values()) >= _WORTH_SHARING else 1
        distribute(list(unknown), build, store_result, processes=processes, weight=sizes.__getitem__)
        return [loaded[path] for path in paths]

    def _with_texts(self, results: Sequence[FileResult]) -> list[FileResult]:
        """The results, with the texts of other items in those that refer to any."""
        from contentops.manifests.references import fact
        from contentops.manifests.referring import declared_texts, framed, with_paths

        texts = declared_texts(results, self.accepted or AcceptedTexts(), self.project.preset)
        builder = self.builder.reading(texts)

        def with_texts(stored: FileResult) -> FileResult:
            if stored.has_texts and all(fact(texts, name, approved=only) == told for name, only, told in stored.texts):
                return with_paths(stored, texts)
            content = self._read(stored.path)
            if isinstance(content, FileResult):
                return content
            digest = digest_bytes(content)
            first = self._first(stored.path, content, digest) if stored.has_texts else stored
            result = framed(builder.build(first.path, content), first)
            if not any(problem.severity is Severity.ERROR for problem in result.findings):
                # One with errors lacks items whose texts others may use once the errors are gone.
                self._store(result, digest, encode_result(result))
            return with_paths(result, texts)

        return [with_texts(result) if result.refers else result for result in results]

    def _first(self, path: str, content: bytes, digest: Digest) -> FileResult:
        """The result of a manifest with placeholders for the texts of other items."""
        text = self.cache.get(self._key(path, digest, _FIRST)) if self.cache is not None else None
        stored = self._of_text(path, text) if text is not None else None
        return stored or self.builder.build(path, content)

    def _read(self, path: str) -> bytes | FileResult:
        """The bytes of a manifest, or a result that says why it cannot be read."""
        try:
            content = self.drafts.get(path) or self.files.read(path)
        except FileError as error:
            return FileResult(path=path, findings=(error.finding,), complete=False)
        if content is None:
            message = f"`{path}` was removed while the manifests were read"
            gone = Diagnostic(code="unreadable-file", message=message, location=Location(path), hint="run it again")
            return FileResult(path=path, findings=(gone,), complete=False)
        return content

    def _stored(self, path: str, digest: Digest) -> FileResult | None:
        """The stored result of the manifest with this digest, if its data files are unchanged.

        Of one that refers to texts, the result with those of the last time, if there is one.
        """
        if self.cache is None:
            return None
        stored = self.cache.get(self._key(path, digest))
        for part in (_SECOND, _FIRST) if stored == _REFERS else ():
            text = self.cache.get(self._key(path, digest, part))
            if text is not None and (result := self._of_text(path, text)) is not None:
                return result
        return None if stored in (None, _REFERS) else self._of_text(path, stored)

    def _store(self, result: FileResult, digest: Digest, text: str) -> None:
        """Store a result, encoded as `text`, of the manifest with this digest."""
        if self.cache is None:
            return
        if result.refers:
            self.cache.put(self._key(result.path, digest), _REFERS)
        part = (_SECOND if result.has_texts else _FIRST) if result.refers else ""
        self.cache.put(self._key(result.path, digest, part), text)

    def _of_text(self, path: str, text: str) -> FileResult | None:
        """The result that a text encodes, if it is that of this manifest and its data files are unchanged."""
        result = decode_result(text)
        if result is None or result.path != path:
            return None
        unchanged = all(self._read_data(file).digest == digest for file, digest in result.data)
        return result if unchanged else None

    def _key(self, path: str, digest: Digest, part: str = "") -> str:
        return digest_text(f"{self.context} {digest} {part}{path}")


def _across_files(results: Sequence[FileResult]) -> list[Diagnostic]:
    """The findings of all files; one about a location in the project file is kept from the first manifest."""
    findings: list[Diagnostic] = []
    others: dict[tuple[str, Location | None, str], int] = {}
    for result in results:
        for problem in result.findings:
            if problem.location is not None and problem.location.file == PROJECT_FILE:
                key = (problem.code, problem.location, problem.hint)
                others[key] = others.get(key, -1) + 1
                if others[key]:
                    continue
            findings.append(problem)
    return [
        counted(problem, others.get((problem.code, problem.location, problem.hint), 0), "file") for problem in findings
    ]


def _unchecked(project: Project, catalog: Catalog | None, results: Sequence[FileResult]) -> list[Diagnostic]:
    """A note where items are not checked against the catalog of the server, as it is unknown."""
    if catalog is None and any(each.items for each in results):
        message = "templates, styles and inputs are not checked: there is no catalog for this server"
        hint = "run `contentops catalog pull` and commit `catalog.lock.json`"
        return [Diagnostic(code="no-catalog", message=message, severity=Severity.NOTE, hint=hint)]
    if catalog is None or catalog.brand_voices is not None or project.api.base_url == "local":
        # The bundled server takes any brand voice.
        return []
    if not any(spec.request.brand_voice for each in results for spec in each.specs):
        return []
    message = "brand voices are not checked: the server does not list them"
    hint = "`contentops catalog pull` asks again; the server rejects an unknown id"
    return [Diagnostic(code="unchecked-brand-voice", message=message, severity=Severity.NOTE, hint=hint)]


def _context(project: Project, catalog: Catalog | None, macros: MacroFile | None) -> str:
    """The digest of everything but its own bytes that the result of a manifest depends on."""
    layered = [
        [FORMAT, __version__],
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

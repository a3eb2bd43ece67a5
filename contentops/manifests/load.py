"""Reads everything the manifests declare: the module of this package that puts the stages together.

    discover -> read -> (parse cache, else `build`: layer -> expand -> render -> validate) -> cross-check

Each manifest file is worked through on its own, which is what the parse cache keeps; what only shows between files
is checked every time. Problems are collected, so that a person sees all of them at once.
"""

from __future__ import annotations

import operator
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from contentops import __version__
from contentops.collector import without_collection
from contentops.digest import digest_bytes, digest_json
from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.cross_checks import check_across, check_unused, inputs_of
from contentops.manifests.discover import FileError, ProjectFiles, discover
from contentops.manifests.parse_cache import FORMAT, FileResult
from contentops.manifests.parse_cache import decode as decode_result
from contentops.manifests.parse_cache import encode as encode_result
from contentops.manifests.paths import PROJECT_FILE
from contentops.manifests.problems import counted, in_order
from contentops.model import Catalog, Desired, Project
from contentops.yaml.positions import Source
from contentops.yaml.read import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentops.digest import Digest
    from contentops.manifests.build import FileBuilder
    from contentops.manifests.data_file import DataFile
    from contentops.manifests.macros import MacroFile


class ParseCache(Protocol):
    """Keeps what manifest files came to. It may lose or damage anything; that costs time, never the answer."""

    def get(self, key: str) -> str | None:
        """The text stored under a key, or None."""

    def put(self, key: str, value: str) -> None:
        """Store a text under a key."""


def load(project: Project, catalog: Catalog | None, cache: ParseCache | None = None) -> Desired:
    """Everything the manifests of a project declare, rendered and checked.

    Without a catalog, slugs and inputs are not checked, and one note says so. Raises InputError with every
    finding of every file if one of them is an error; else `Desired.findings` holds the warnings and notes.
    """
    with without_collection():
        return _Loader(project, catalog, cache).run()


class _Loader:
    """One load: the files read so far, and what all manifest files share."""

    def __init__(self, project: Project, catalog: Catalog | None, cache: ParseCache | None) -> None:
        self.project = project
        self.catalog = catalog
        self.cache = cache
        self.files = ProjectFiles(Path(project.root))
        self.data: dict[str, DataFile] = {}
        self.sources: dict[str, Source] = {}
        self.project_source = Source(PROJECT_FILE, project.text)
        self.macros = self._read_macros() if project.macros else None
        self.context = _context(project, catalog, self.macros)
        self._builder: FileBuilder | None = None

    def run(self) -> Desired:
        """Load every file, then check them together."""
        paths, findings = discover(self.project, self.project_source, self.files)
        results = list(map(self._load_file, paths))
        # A YAML file of rows may lie where manifests are searched for; it is data wherever it is named as data.
        rows = {path for result in results for path, digest in result.data if digest}
        rows -= {self.macros.path} if self.macros else set()  # a manifest that is named as macros is still one
        results = [result for result in results if result.path not in rows]
        findings += _across_files(results)
        findings += self.macros.unread if self.macros else []
        findings += check_across(results, self._source)
        findings += check_unused(self.project, self.project_source, results)
        if self.catalog is None and any(result.items for result in results):
            findings.append(_no_catalog())
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
        )

    # --- files ---------------------------------------------------------------------------------------------

    def _source(self, path: str) -> Source:
        """The text of a manifest, for the excerpt of a finding; empty if it went away meanwhile."""
        if path not in self.sources:
            try:
                content = self.files.read(path) or b""
            except FileError:
                content = b""
            self.sources[path] = decode(path, content)[0]
        return self.sources[path]

    def _read_data(self, path: str) -> DataFile:
        if path not in self.data:
            self.data[path] = self.files.read_data(path)
        return self.data[path]

    def _read_macros(self) -> MacroFile:
        from contentops.manifests.macros import MacroFile  # start-up: most projects have none

        data = self._read_data(posixpath.normpath(self.project.macros))
        return MacroFile(self.project, self.project_source, data)

    # --- one manifest --------------------------------------------------------------------------------------

    @property
    def builder(self) -> FileBuilder:
        """Works through a manifest that is not in the cache."""
        if self._builder is None:
            from contentops.manifests.build import FileBuilder  # start-up: a plan from the cache builds nothing

            self._builder = FileBuilder(self.project, self.project_source, self.catalog, self._read_data, self.macros)
        return self._builder

    def _load_file(self, path: str) -> FileResult:
        try:
            content = self.files.read(path)
        except FileError as error:
            return FileResult(path=path, findings=(error.finding,), complete=False)
        if content is None:
            message = f"`{path}` went away while the manifests were read"
            gone = Diagnostic(code="unreadable-file", message=message, location=Location(path), hint="run it again")
            return FileResult(path=path, findings=(gone,), complete=False)
        if self.cache is None:
            return self.builder.build(path, content)
        key = digest_json([FORMAT, __version__, self.context, path, digest_bytes(content)])
        stored = self.cache.get(key)
        result = None if stored is None else decode_result(stored)
        if result is None or result.path != path or not self._unchanged(result.data):
            result = self.builder.build(path, content)
            self.cache.put(key, encode_result(result))
        return result

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


def _no_catalog() -> Diagnostic:
    return Diagnostic(
        code="no-catalog",
        message="templates, styles and inputs are not checked: there is no catalog of this server",
        severity=Severity.NOTE,
        hint="run `contentops catalog pull` and commit `catalog.lock.json`",
    )


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

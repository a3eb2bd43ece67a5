"""Loads everything that the manifests of a project declare.

    discover -> read -> layer -> expand -> render -> validate -> cross-check

Problems are collected, so that a person sees all of them at once.
"""

from __future__ import annotations

import functools
import operator
import posixpath
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.cross_checks import OutputPaths, check_across, check_environment, check_unused, inputs_of
from contentops.manifests.discover import FileError, ProjectFiles, discover
from contentops.manifests.file_result import FileResult
from contentops.manifests.problems import Problems, counted, in_order
from contentops.model import PROJECT_FILE, AcceptedTexts, Catalog, Desired, ItemId, Project, Spec
from contentops.yaml.positions import Source
from contentops.yaml.read import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contentops.manifests.build import FileBuilder
    from contentops.manifests.data import DataFile
    from contentops.manifests.expand import Declared
    from contentops.manifests.references import DeclaredTexts
    from contentops.manifests.templates import MacroFile


def load(
    project: Project,
    catalog: Catalog | None,
    drafts: Mapping[str, bytes] = MappingProxyType({}),
    accepted: AcceptedTexts | None = None,
) -> Desired:
    """Everything the manifests of a project declare, rendered and checked.

    `drafts` are manifests by path that replace files or are added to them. Without a catalog, slugs and inputs are not
    checked, and a note says so. `accepted` are the texts that `ref` reads; without them, items that use any wait.
    Raises InputError with every finding of every file if one of them is an error; else `Desired.findings` has the
    warnings and notes.
    """
    return Loader(project, catalog, drafts, accepted).run()


class Loader:
    """The files read so far, and what all manifest files share."""

    def __init__(
        self,
        project: Project,
        catalog: Catalog | None,
        drafts: Mapping[str, bytes] = MappingProxyType({}),
        accepted: AcceptedTexts | None = None,
    ) -> None:
        self.accepted = accepted
        self.project = project
        self.catalog = catalog
        self.drafts = drafts
        self.files = ProjectFiles(Path(project.root))
        self.data: dict[str, DataFile] = {}
        self.sources: dict[str, Source] = {}
        self.project_source = Source(PROJECT_FILE, project.text)
        self.macros = self._read_macros() if project.macros else None

    def run(self) -> Desired:
        """Load every file, then check them together."""
        paths, findings = discover(self.project, self.project_source, self.files)
        results = [self._build(path) for path in sorted({*paths, *self.drafts})]
        # A YAML file that manifests name as data is not a manifest, also where a glob for manifests matches it.
        rows = {path for result in results for path in result.data}
        rows -= {self.macros.path} if self.macros else set()  # a manifest that is named as macros is still one
        results = [result for result in results if result.path not in rows]
        later = _Later(results, self._source, self.project) if any(result.referring for result in results) else None
        if later is not None:
            results = later.results(self.accepted or AcceptedTexts())
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
            again=later.again if later is not None else None,
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
        """Builds the result of one manifest."""
        from contentops.manifests.build import FileBuilder

        return FileBuilder(self.project, self.project_source, self.catalog, self._read_data, self.macros)

    def _build(self, path: str) -> FileResult:
        """The result of one manifest, without what uses the texts of other items."""
        content = self._read(path)
        return content if isinstance(content, FileResult) else self.builder.build(path, content)

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


class _Later:
    """Renders the items that use texts of others, with the texts of the moment."""

    def __init__(self, results: Sequence[FileResult], sources: Callable[[str], Source], project: Project) -> None:
        from contentops.manifests.references import DeclaredItems

        self._results = results
        self._referring = {id_: one for result in results for id_, one in result.referring.items()}
        bare = {spec.id: spec for result in results for spec in result.specs}
        others = {ItemId(id_) for result in results for id_, _ in result.claims}
        is_complete = all(each.complete for each in results)
        moved = {pair.new: pair.old for result in results for pair in result.moved}
        self._rendered: dict[ItemId, Spec] = {}
        """The items as they are known without texts, with what they read."""
        self._declared = DeclaredItems(bare, others if is_complete else None, project.preset, moved)
        self._outputs = OutputPaths(results, sources, project.manifests)

    def results(self, accepted: AcceptedTexts) -> list[FileResult]:
        """The results of all files, with these texts."""
        texts = self._texts(accepted)
        return [self._with_texts(result, texts) if result.referring else result for result in self._results]

    def again(self, item: ItemId, accepted: AcceptedTexts) -> Spec:
        """One item that uses texts of others, with these texts."""
        problems = Problems()
        texts = self._texts(accepted)
        spec, _ = self._referring[item].render(self._rendered[item], texts, problems)
        return self._placed(structs.replace(spec, trouble=(*problems.done(), *spec.trouble)), texts)

    def _placed(self, spec: Spec, texts: DeclaredTexts) -> Spec:
        """An item, or where its output cannot be written, with the path that it has and the reason."""
        if self._rendered[spec.id].output or not spec.output or (found := self._outputs.take(spec)) is None:
            return spec
        return structs.replace(spec, output=texts.path_of(spec.id), trouble=(*spec.trouble, found))

    def _texts(self, accepted: AcceptedTexts) -> DeclaredTexts:
        from contentops.manifests.references import DeclaredTexts

        return DeclaredTexts(self._declared, accepted)

    def _with_texts(self, result: FileResult, texts: DeclaredTexts) -> FileResult:
        problems, warnings, specs = Problems(), list[Diagnostic](), list[Spec]()
        data = result.data
        for spec in result.specs:
            if (referring := result.referring.get(spec.id)) is None:
                specs.append(spec)
                continue
            made, found = referring.render(spec, texts, problems)
            self._rendered[spec.id] = structs.replace(spec, readings=made.readings)
            made = self._placed(made, texts)
            specs.append(made)
            warnings += [*found, *(structs.replace(one, severity=Severity.WARNING) for one in made.trouble)]
            data |= referring.data
        findings = (*result.findings, *problems.done(), *warnings)
        return structs.replace(result, specs=tuple(specs), findings=findings, data=data)


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

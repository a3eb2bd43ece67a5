"""Loads everything that the manifests of a project declare.

    discover -> read -> layer -> expand -> render -> validate -> cross-check

Problems are collected, so that a person sees all of them at once.
"""

from __future__ import annotations

import functools
import operator
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.manifests.catalog_lock import CatalogCheck
from contentops.manifests.cross_checks import (
    FileResult,
    OutputPaths,
    check_across,
    check_environment,
    check_unused,
    inputs_of,
    unused,
)
from contentops.manifests.data import DataFile, read_rows, without_sheet
from contentops.manifests.discover import FileError, ProjectFiles, discover
from contentops.manifests.expand import (
    Declared,
    Layers,
    expand,
    layers,
    with_misspelt,
)
from contentops.manifests.references import DeclaredItems, DeclaredTexts
from contentops.manifests.render import REFERRING, Referring, Rendered
from contentops.manifests.schema import check_schema
from contentops.manifests.templates import MacroFile, Scope, Templates, Uses, root_of
from contentops.manifests.validate import check_item
from contentops.manifests.values import (
    DataRow,
    Problems,
    TemplateError,
    Written,
    in_order,
    is_template,
    misspelt,
)
from contentops.model import PROJECT_FILE, AcceptedTexts, Catalog, Desired, ItemId, Json, Moved, Project, Spec
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, YamlDocument, finding, locate
from contentops.yaml.read import read_yaml

if TYPE_CHECKING:
    from contentops.manifests.render import Instance


def load(
    project: Project,
    catalog: Catalog | None,
    drafts: Mapping[str, bytes] = MappingProxyType({}),
    accepted: AcceptedTexts | None = None,
) -> Desired:
    """Load, render and check everything that the manifests of a project declare.

    `drafts` are manifests by path, which replace files of the project or are added. Without a catalog, slugs and inputs
    are not checked, and a note says so. `accepted` are the texts that `ref` reads; without them, items that use texts
    wait.
    Raises InputError with every finding of every file if one of them is an error. Otherwise `Desired.findings` has the
    warnings and notes.
    """
    return Loader(project, catalog, drafts).run(accepted)


class Loader:
    """Loads the manifests of a project. It keeps the files that were read and the values that all manifests share."""

    def __init__(
        self,
        project: Project,
        catalog: Catalog | None,
        drafts: Mapping[str, bytes],
    ) -> None:
        self.project = project
        self.catalog = catalog
        self.catalog_check = None if catalog is None else CatalogCheck(catalog)
        self.drafts = drafts
        self.files = ProjectFiles(Path(project.root))
        self._read_data = functools.cache(self.files.read_data)
        self._rows_of = functools.cache(read_rows)
        self.project_source = Source(PROJECT_FILE, project.text)
        macros = self._read_data(posixpath.normpath(project.macros)) if project.macros else None
        self.macros = MacroFile(project, self.project_source, macros) if macros else None
        self.templates = Templates(macros=self.macros)

    def run(self, accepted: AcceptedTexts | None) -> Desired:
        """Load every manifest, then check all manifests together."""
        paths, findings = discover(self.project, self.project_source, self.files)
        results = [self._build(path) for path in sorted({*paths, *self.drafts})]
        # A YAML file that manifests name as data is not a manifest, also where a glob for manifests matches it.
        rows = {path for result in results for path in result.data}
        rows -= {self.macros.data.path} if self.macros else set()  # a manifest that is named as macros is still one
        results = [result for result in results if result.source.path not in rows]
        later = _Later(results, self.project) if any(result.referring for result in results) else None
        if later is not None:
            results = later.results(accepted or AcceptedTexts())
        findings += _across_files(results)
        findings += self.macros.problems if self.macros else []
        findings += check_across(results, self.project.manifests)
        findings += check_unused(self.project, self.project_source, results)
        findings += check_environment(self.project, self.project_source, results)
        findings += _unchecked(self.project, self.catalog, results)
        findings = in_order(dict.fromkeys(findings))
        looked_at = tuple(sorted({*paths, *self.files.searched}))
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
            manifests=tuple(result.source.path for result in results),
            inputs=inputs_of(results),
            looked_at=looked_at,
            again=later.again if later is not None else None,
        )

    # --- files ---------------------------------------------------------------------------------------------

    # --- one manifest --------------------------------------------------------------------------------------

    def _read(self, path: str) -> bytes | Diagnostic:
        """Return the bytes of a manifest, or a finding that says why it cannot be read."""
        try:
            content = self.drafts.get(path) or self.files.read(path)
        except FileError as error:
            return error.finding
        message = f"`{path}` was removed while the manifests were read"
        gone = Diagnostic(code="unreadable-file", message=message, location=Location(path), hint="run it again")
        return gone if content is None else content

    def _build(self, path: str) -> FileResult:
        """Read, render and check one manifest. Values that use the texts of other items are left out."""
        content = self._read(path)
        if isinstance(content, Diagnostic):
            return FileResult(source=Source(path, ""), findings=[content], complete=False)
        document, findings = read_yaml(path, content)
        result, problems = FileResult(source=document.source), Problems()
        shape = check_schema(document, "manifest")
        below = layers(self.project, self.project_source, document)
        read = functools.partial(self._rows_at, used=result.data, problems=problems)
        declared = expand(document, below, read, self.templates, problems)
        if self.macros and self.macros.data.exists:
            result.data.add(self.macros.data.path)
        root = document.root if isinstance(document.root, dict) else {}
        if shape:
            schema = load_schema("manifest")
            declared = with_misspelt(declared, document, schema)
            result.complete = "items" not in misspelt(root, schema["properties"])
        make_items(
            result,
            declared,
            problems,
            builtin={"project": self.project.name, "environment": self.project.environment},
            templates=self.templates,
            rows=lambda written: self._rows_for(written, path, result.data),
            check=functools.partial(
                check_item,
                catalog=self.catalog_check,
                preset=self.project.preset,
                disclosure=self.project.disclosure,
                sends_mode=self.project.api.send_mode,
                find=lambda written: self._resolve(written, path, result.data),
                well_formed=not shape,
            ),
        )
        if not problems.errors and not findings and not shape:
            warn_unused(below, result, problems)
            _warn_empty(document, problems)
        locations = {problem.location for problem in (*findings, *shape)}
        own = [problem for problem in problems.done() if problem.location not in locations]
        entries = root.get("items")
        result.complete &= document.root is not None or not findings
        result.complete &= result.items == (len(entries) if isinstance(entries, list) else 0)
        result.moved += _moved(document)
        result.findings += in_order([*findings, *shape, *own])
        return result

    def _rows_at(self, source: Written, axis: str, used: set[str], problems: Problems) -> list[DataRow] | None:
        """Return the rows of the data file that a `for_each` or an axis names, or None if they cannot be read."""
        document, path = source.document, source.value
        assert document is not None
        subject, hint = "`for_each`", "paths are relative to the project root, or to the manifest's folder"
        if axis:
            subject, hint = f"the axis `{axis}` of `matrix`", f"{hint}; an axis of one value is `[{path[:40]}]`"
        rows, refused = self._read_rows(path, document.source.path, used, subject)
        for one in refused:
            at = (document, one.code, one.message, source.pointer)
            problems.add(one if one.location else finding(*at, hint=one.hint or hint))
        return None if refused else rows

    def _rows_for(self, written: object, manifest: str, used: set[str]) -> list[Json]:
        """Return the rows of a data file that a template names. Raises TemplateError."""
        if not isinstance(written, str):
            raise TemplateError("template-value", "`rows` takes the path of a data file", hint="write `rows('PATH')`")
        rows, refused = self._read_rows(written, manifest, used, "`rows`")
        if refused:
            raise TemplateError(refused[0].code, refused[0].message, hint=refused[0].hint)
        return [row.value for row in rows]

    def _read_rows(
        self, written: str, manifest: str, used: set[str], subject: str
    ) -> tuple[list[DataRow], list[Diagnostic]]:
        """Return the rows of a data file, and findings about the file or its path. Each file is read once."""
        file, sheet = without_sheet(written)
        data = self._resolve(file, manifest, used)
        if isinstance(data, str):
            return [], [Diagnostic(code="no-data-file", message=f"{subject} names `{written[:200]}`, which {data}")]
        if data.problem is not None:
            return [], [structs.replace(data.problem, location=None)]
        return self._rows_of(data.path, data.content, sheet)

    def _resolve(self, written: str, manifest: str, used: set[str]) -> DataFile | str:
        """Return the data file at a path, or words that say what is wrong with the path.

        The path is relative to the project root, otherwise to the manifest's folder.
        """
        if problem := _data_path_problem(written):
            return problem
        candidates = dict.fromkeys(
            posixpath.normpath(posixpath.join(folder, written)) for folder in ("", posixpath.dirname(manifest))
        )
        inside = [candidate for candidate in candidates if candidate != ".." and not candidate.startswith("../")]
        if not inside:
            return "points outside the project with `..`"
        for candidate in inside:
            data = self._read_data(candidate)
            if data.exists:
                used.add(candidate)
                return data
        return "does not exist: looked for " + " and ".join(f"`{candidate}`" for candidate in inside)


class _Later:
    """Renders the items that use other items' texts, from the texts that exist now."""

    def __init__(self, results: Sequence[FileResult], project: Project) -> None:
        self._results = results
        self._referring = {id_: one for result in results for id_, one in result.referring.items()}
        bare = {spec.id: spec for result in results for spec in result.specs}
        others = {id_ for result in results for id_, _, _ in result.ids}
        is_complete = all(each.complete for each in results)
        moved = {pair.new: pair.old for result in results for pair in result.moved}
        self._rendered: dict[ItemId, Spec] = {}
        """The items as they are known without texts, with what they read and their frames."""
        self._declared = DeclaredItems(bare, others if is_complete else None, project.preset, moved)
        self._outputs = OutputPaths(results, project.manifests)
        for spec in bare.values():
            if spec.output:
                self._outputs.take(spec)

    def results(self, accepted: AcceptedTexts) -> list[FileResult]:
        """Return the results of all manifests, with values rendered from the texts in `accepted`."""
        texts = DeclaredTexts(self._declared, accepted)
        return [self._with_texts(result, texts) if result.referring else result for result in self._results]

    def again(self, item: ItemId, accepted: AcceptedTexts) -> Spec:
        """Render an item that uses texts of other items again, with the texts in `accepted`."""
        problems = Problems()
        texts = DeclaredTexts(self._declared, accepted)
        spec, _ = self._referring[item].render(self._rendered[item], texts, problems)
        return self._placed(structs.replace(spec, trouble=(*problems.done(), *spec.trouble)), texts)

    def _placed(self, spec: Spec, texts: DeclaredTexts) -> Spec:
        """Return the item after a check that its output path is free.

        If the path is not free, the item keeps the path of its present text, and gets an error.
        """
        if self._rendered[spec.id].output or not spec.output or (found := self._outputs.take(spec)) is None:
            return spec
        return structs.replace(spec, output=texts.paths.get(spec.id, ""), trouble=(*spec.trouble, found))

    def _with_texts(self, result: FileResult, texts: DeclaredTexts) -> FileResult:
        problems, warnings, specs = Problems(), list[Diagnostic](), list[Spec]()
        for spec in result.specs:
            if (referring := result.referring.get(spec.id)) is None:
                specs.append(spec)
                continue
            made, found = referring.render(spec, texts, problems)
            known = {"readings": made.readings, "frame": made.frame, "earlier_frame": made.earlier_frame}
            self._rendered[spec.id] = structs.replace(spec, **known)
            made = self._placed(made, texts)
            specs.append(made)
            warnings += [*found, *(structs.replace(one, severity=Severity.WARNING) for one in made.trouble)]
        return structs.replace(result, specs=specs, findings=[*result.findings, *problems.done(), *warnings])


def _across_files(results: Sequence[FileResult]) -> list[Diagnostic]:
    """Return the findings of all manifests. Equal findings about the project file are merged into one."""
    findings, of_project = list[Diagnostic](), Problems()
    for result in results:
        for problem in result.findings:
            if problem.location is not None and problem.location.file == PROJECT_FILE:
                of_project.add(problem, (problem.code, problem.location, problem.hint))
            else:
                findings.append(problem)
    return findings + of_project.done("file")


def _unchecked(project: Project, catalog: Catalog | None, results: Sequence[FileResult]) -> list[Diagnostic]:
    """Return a note if items are not checked because the server's catalog or its brand voices are unknown."""
    code, message = "no-catalog", "templates, styles and inputs are not checked: there is no catalog for this server"
    hint, is_unchecked = "run `contentops catalog pull` and commit `catalog.lock.json`", False
    if catalog is None:
        is_unchecked = any(each.items for each in results)
    elif catalog.brand_voices is None and project.api.base_url != "local":  # the bundled server takes any brand voice
        is_unchecked = any(spec.request.brand_voice for each in results for spec in each.specs)
        code, message = "unchecked-brand-voice", "brand voices are not checked: the server does not list them"
        hint = "`contentops catalog pull` asks again; the server rejects an unknown id"
    return [Diagnostic(code=code, message=message, severity=Severity.NOTE, hint=hint)] if is_unchecked else []


# --- one file ----------------------------------------------------------------------------------------------


def _data_path_problem(written: str) -> str:
    if not written.strip():
        return "is empty"
    if is_template(written):
        return "contains Jinja, which is not allowed in the path of a data file"
    if "\\" in written:
        return "contains a backslash; write `/` between folders"
    if written.startswith(("/", "~")) or ":" in written.partition("/")[0]:
        return "is absolute"
    if not written.isprintable():
        return "contains invisible characters"
    return ""


def _warn_empty(document: YamlDocument, problems: Problems) -> None:
    """Warn about a manifest that declares nothing. An empty list of items is allowed."""
    root = document.root or {}
    if root.get("moved") or isinstance(root.get("items"), list):
        return
    message = "this manifest declares nothing"
    hint = "declare items under `items`, or remove the file; `items: []` states that there are none"
    where = ("items",)
    problems.add(finding(document, "empty-manifest", message, where, key=True, hint=hint, severity=Severity.WARNING))


def _moved(document: YamlDocument) -> Iterator[Moved]:
    pairs = document.root.get("moved") if isinstance(document.root, dict) else None
    for index, pair in enumerate(pairs if isinstance(pairs, list) else ()):
        old, new = (pair.get("from"), pair.get("to")) if isinstance(pair, dict) else (None, None)
        if isinstance(old, str) and isinstance(new, str):
            yield Moved(old=ItemId(old), new=ItemId(new), location=locate(document, ("moved", index)))


# --- items of one file -------------------------------------------------------------------------------------


def make_items(
    result: FileResult,
    declared: Iterable[Declared],
    problems: Problems,
    *,
    builtin: Mapping[str, Json],
    templates: Templates,
    rows: Callable[[str], list[Json]],
    check: Callable[[Rendered], Spec | None],
) -> None:
    """Render and `check` every item, without the values that use texts of other items.

    `result` gets the items and the names that they use. `builtin` are names that all templates have. `rows` returns
    the rows of a data file.
    """
    for instance in _instances(result, declared, problems, builtin, templates, rows):
        rendered = Rendered(instance, problems).render(problems)
        spec = check(rendered)
        name = spec.id if spec else rendered.values.get("id")
        if isinstance(name, str):
            result.ids.append((ItemId(name), rendered.declared, rendered.each))
        else:
            result.complete = False
        if spec is not None:
            result.specs.append(spec)
            result.referring |= {spec.id: Referring(instance, check)} if rendered.open else {}


def _instances(
    result: FileResult,
    declared: Iterable[Declared],
    problems: Problems,
    builtin: Mapping[str, Json],
    templates: Templates,
    rows: Callable[[str], list[Json]],
) -> Iterator[Instance]:
    """Yield every item that can be rendered. `result` gets the names that its declarations use."""
    shared: Scope | None = None
    for entry in declared:
        own = entry.own_variables
        scope = None if own else shared
        if scope is None:
            scope = Scope(entry.variables, builtin, templates, rows, entry.below.cli.value)
            shared = shared if own else scope
        uses = scope.uses((name, value) for name, _, value in entry.templates)
        result.items += 1
        result.used.update(uses.names)
        result.idle += [(own.below(name), entry.label) for name in own.value if name not in uses.names] if own else []
        _refuse_references(entry, uses, problems)
        may_multiply = _may_multiply(entry, uses, problems)
        if not may_multiply or (entry.each is not None and not entry.each):
            result.complete = False
        if may_multiply:
            for each in (None,) if entry.each is None else entry.each:
                yield entry, each, scope, uses


def _refuse_references(declared: Declared, uses: Uses, problems: Problems) -> None:
    """Report `ref` in fields whose values must be known before any text exists."""
    for name, path, _ in declared.templates if uses.referring else ():
        if name in uses.referring and root_of(name) not in REFERRING:
            core = f"uses `ref` in `{name}`, which has to be known before there are texts"
            hint = "`ref` is for `inputs`, `metadata` and `output`"
            problems.about(declared.label, declared.find(path)[0], "reference-not-here", core, hint=hint)


def _may_multiply(declared: Declared, uses: Uses, problems: Problems) -> bool:
    """Return False if an entry makes several items but its `id` does not use `each`. This is reported."""
    if (
        declared.each is None
        or "id" not in declared.values
        or any(root_of(one) == "each" for one in uses.reach(["item.id"]))
    ):
        return True
    written, _ = declared.find(("id",))
    hint = "use a column that stays the same: `{{ each.slug }}`; for plain values `{{ each.value }}`"
    core = "makes several items, so its `id` must use `each`"
    problems.about(declared.label, written, "id-without-each", core, hint=hint)
    return False


def warn_unused(below: Layers, result: FileResult, problems: Problems) -> None:
    """Warn about variables of a manifest that none of its items uses, and about unused variables of an item."""
    local = below.local if result.items else ()
    idle = [(written, "any item") for written in local if written.pointer[-1] not in result.used]
    for written, whom in (*idle, *result.idle):
        problems.add(unused(written, whom))

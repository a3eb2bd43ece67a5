"""Builds the result of one manifest file: its items layered, expanded, rendered and checked."""

from __future__ import annotations

import functools
import posixpath
from typing import TYPE_CHECKING

from contentops.errors import Diagnostic, Severity
from contentops.manifests.data import read_rows, without_sheet
from contentops.manifests.expand import command_line, data_paths, entries_of, expand, layers, with_misspelt
from contentops.manifests.file_result import FileResult
from contentops.manifests.items import make_items, warn_unused
from contentops.manifests.problems import Problems, in_order, misspelt
from contentops.manifests.schema import check_schema
from contentops.manifests.templates import Templates
from contentops.manifests.validate import check_item
from contentops.manifests.values import TemplateError, is_template
from contentops.model import Catalog, ItemId, Moved, Project
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, YamlDocument, finding, locate
from contentops.yaml.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contentops.manifests.data import DataFile
    from contentops.manifests.data_rows import DataRow
    from contentops.manifests.expand import Declared
    from contentops.manifests.templates import MacroFile
    from contentops.model import Json
    from contentops.yaml.positions import Pointer


class FileBuilder:
    """Builds manifest files one by one; compiled templates and the rows of data files are shared.

    `read_data` returns a data file by its path, also one that does not exist.
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
        self._rows_of_file: dict[tuple[str, str], tuple[list[DataRow], list[Diagnostic]]] = {}

    def build(self, path: str, content: bytes) -> FileResult:
        """The result of a manifest with these bytes; `path` is relative to the project root."""
        document, findings = read_yaml(path, content)
        schema = load_schema("manifest")
        shape = check_schema(document, "manifest")
        problems = Problems()
        rows, used = self._rows(document, problems)
        if self.macros:
            used |= {self.macros.path} if self.macros.exists else set()
            for problem in self.macros.problems:
                problems.add(problem)
        below = layers(self.project, self.project_source, document)
        declared = expand(document, below, rows, self.cli, self.templates, problems)
        if shape:
            declared = with_misspelt(declared, document, schema)
        made = make_items(
            declared,
            problems,
            builtin=self.builtin,
            templates=self.templates,
            rows=lambda written: self._rows_for(written, path, used),
            data=used,
            check=functools.partial(
                check_item,
                catalog=self.catalog,
                preset=self.project.preset,
                disclosure=self.project.disclosure,
                find=lambda written: self._resolve(written, path, used),
            ),
        )
        if not problems.errors and not findings and not shape:
            warn_unused(below, made, problems)
            _warn_empty(document, problems)
        locations = {problem.location for problem in (*findings, *shape)}
        own = [problem for problem in problems.done() if problem.location not in locations]
        readable = not findings or document.root is not None
        entries = document.root.get("items") if isinstance(document.root, dict) else None
        declarations = len(entries) if isinstance(entries, list) else 0
        hidden = bool(shape) and "items" in misspelt(document.root, schema["properties"])
        return FileResult(
            path=path,
            specs=tuple(made.specs),
            claims=tuple(made.claims),
            moved=tuple(_moved(document)),
            findings=tuple(in_order([*findings, *shape, *own])),
            used=frozenset(made.used),
            data=frozenset(used),
            complete=made.complete and readable and not hidden and made.declarations == declarations,
            items=made.declarations,
            referring=made.referring,
        )

    def declarations(self, path: str, content: bytes) -> tuple[list[Declared], list[Diagnostic]]:
        """The entries of a manifest with the rows that each chooses, before rendering, and findings."""
        document, findings = read_yaml(path, content)
        problems = Problems()
        rows, _ = self._rows(document, problems)
        below = layers(self.project, self.project_source, document)
        declared = list(expand(document, below, rows, self.cli, self.templates, problems))
        return declared, in_order([*findings, *check_schema(document, "manifest"), *problems.done()])

    def _rows(self, document: YamlDocument, problems: Problems) -> tuple[dict[Pointer, Sequence[DataRow]], set[str]]:
        """The rows of data files by the pointer to each path, and the files that were read."""
        rows_by_pointer: dict[Pointer, Sequence[DataRow]] = {}
        used: set[str] = set()
        for index, entry in entries_of(document):
            for pointer, written in data_paths(index, entry):
                file, sheet = without_sheet(written)
                data = self._resolve(file, document.source.path, used)
                if isinstance(data, str):
                    subject, hint = "`for_each`", "paths are relative to the project root, or to the manifest's folder"
                    if pointer[2] == "matrix":
                        subject = f"the axis `{pointer[-1]}` of `matrix`"
                        hint += f"; an axis of one value is `[{written[:40]}]`"
                    message = f"{subject} names `{written[:200]}`, which {data}"
                    problems.add(finding(document, "no-data-file", message, pointer, hint=hint))
                elif data.problem is not None:
                    problem = data.problem
                    problems.add(finding(document, problem.code, problem.message, pointer, hint=problem.hint))
                else:
                    rows, findings = self._read_rows(data, sheet)
                    for problem in findings:
                        problems.add(problem)
                    if not findings:
                        rows_by_pointer[pointer] = rows
        return rows_by_pointer, used

    def _rows_for(self, written: object, manifest: str, used: set[str]) -> list[Json]:
        """The rows of a data file that a template names. Raises TemplateError."""
        if not isinstance(written, str):
            raise TemplateError("template-value", "`rows` takes the path of a data file", hint="write `rows('PATH')`")
        file, sheet = without_sheet(written)
        data = self._resolve(file, manifest, used)
        if isinstance(data, str):
            raise TemplateError("no-data-file", f"`rows` names `{written[:200]}`, which {data}")
        problem = data.problem
        if problem is None:
            rows, findings = self._read_rows(data, sheet)
            if not findings:
                return [row.value for row in rows]
            problem = findings[0]
        raise TemplateError(problem.code, problem.message, hint=problem.hint)

    def _read_rows(self, data: DataFile, sheet: str) -> tuple[list[DataRow], list[Diagnostic]]:
        """The rows of a data file, read once, and what is wrong with them."""
        read = data.path, sheet
        if read not in self._rows_of_file:
            self._rows_of_file[read] = read_rows(data.path, data.content, sheet)
        return self._rows_of_file[read]

    def _resolve(self, written: str, manifest: str, used: set[str]) -> DataFile | str:
        """The data file that a path names, from the project root or else from the manifest's folder; or the problem."""
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
    """Warn about a manifest that declares nothing, unless it has an empty list of items."""
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

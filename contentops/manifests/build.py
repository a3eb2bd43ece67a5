"""Builds one manifest file: what it declares, layered, expanded, rendered and checked."""

from __future__ import annotations

import functools
import posixpath
from typing import TYPE_CHECKING

from contentops.errors import Diagnostic, Severity
from contentops.manifests.data import read_rows
from contentops.manifests.expand import command_line, data_paths, entries_of, expand, layers, with_meant
from contentops.manifests.items import make_items, warn_unused
from contentops.manifests.parse_cache import FileResult
from contentops.manifests.problems import Problems, in_order, meant
from contentops.manifests.schema import check_schema
from contentops.manifests.templates import Templates
from contentops.manifests.validate import check_item
from contentops.manifests.values import is_template
from contentops.model import Catalog, ItemId, Moved, Project
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, YamlDocument, finding, locate
from contentops.yaml.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
        document, findings = read_yaml(path, content)
        schema = load_schema("manifest")
        shape = check_schema(document, "manifest")
        problems = Problems()
        rows, asked = self._rows(document, problems)
        if self.macros:
            asked[self.macros.path] = self.macros.digest
            for problem in self.macros.problems:
                problems.add(problem)
        below = layers(self.project, self.project_source, document)
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
                    problems.add(finding(document, "no-data-file", message, pointer, hint=hint))
                    continue
                if data.problem is not None:
                    why = data.problem
                    problems.add(finding(document, why.code, why.message, pointer, hint=why.hint))
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
        if data.path not in self._read:
            self._read[data.path] = read_rows(data.path, data.content)
        return self._read[data.path]


def _data_path_problem(written: str) -> str:
    if not written.strip():
        return "is empty"
    if is_template(written):
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

"""Loads the manifests of a test's project, and shows findings as one line each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contentops.errors import Diagnostic, InputError
from contentops.manifests.load import load
from contentops.manifests.project import load_project
from contentops.model import Catalog, CatalogEntry, Desired, Template, TemplateInput
from tests.running import Build

CATALOG = Catalog(
    templates={
        "blog": Template(
            slug="blog",
            inputs=(
                TemplateInput(name="topic", required=True, kind="text"),
                TemplateInput(name="target_audience", kind="textarea", aliases=("audience",)),
                TemplateInput(name="words", kind="number"),
                TemplateInput(name="tone", kind="select", options=("dry", "warm")),
                TemplateInput(name="size", kind="select"),
                TemplateInput(name="channels", kind="multiselect", options=("web", "mail", 3)),
                TemplateInput(name="statistics", kind="checkbox"),
                TemplateInput(name="points", kind="list"),
                TemplateInput(name="anything", kind="any"),
            ),
        ),
        "bare": Template(slug="bare"),
    },
    styles={slug: CatalogEntry(slug=slug) for slug in ("general", "formal")},
    verticals={slug: CatalogEntry(slug=slug) for slug in ("legal", "health")},
)

PROJECT = """
version: 1
project: acme
defaults: {template: blog, style: general}
"""


def declared(
    project: Build, manifest: str, files: Mapping[str, str | bytes] | None = None, *, settings: str = ""
) -> Path:
    """A project with one manifest; `settings` are added to PROJECT."""
    return project({"contentops.yaml": PROJECT + settings, "content/a.yaml": manifest, **(files or {})})


def desired(
    root: Path, *, environment: str = "", variables: Mapping[str, Any] | None = None, catalog: Catalog | None = CATALOG
) -> Desired:
    """What the manifests below `root` declare."""
    return load(load_project(root, environment=environment, variables=variables), catalog)


def findings(root: Path, **options: Any) -> tuple[Diagnostic, ...]:
    """Every finding, whether it stops a command or not."""
    try:
        return desired(root, **options).findings
    except InputError as error:
        return error.findings


def lines(problems: Iterable[Diagnostic]) -> list[str]:
    """Each finding on one line: severity, code, location, the underlined text, message, hint."""
    return [_line(finding) for finding in problems]


def _line(finding: Diagnostic) -> str:
    at = finding.location
    start = at.column - 1 if at else 0
    marked = finding.excerpt[start : start + finding.width]
    hint = f" (hint: {finding.hint})" if finding.hint else ""
    return f"{finding.severity}[{finding.code}] {at or '-'} <{marked}> {finding.message}{hint}"

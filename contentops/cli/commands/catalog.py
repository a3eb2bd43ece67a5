"""The commands of `contentops catalog`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import environment_options
from contentops.cli.session import Session
from contentops.errors import UsageError, did_you_mean, plural
from contentops.manifests.catalog_lock import CatalogChange
from contentops.manifests.catalog_lock import as_json as snapshot_json
from contentops.model import Catalog, CatalogEntry, Json, Template, TemplateInput
from contentops.operations import catalog as operation
from contentops.operations.catalog import Pulled
from contentops.reporting.layout import paint, table
from contentops.reporting.plan_json import plain
from contentops.sanitize import json_text, short, visible

if TYPE_CHECKING:
    Entry = Template | CatalogEntry

KINDS = ("templates", "styles", "verticals", "brand-voices")
_SIGNS = {"added": ("+", "add"), "removed": ("-", "remove"), "changed": ("~", "change")}
_SHOWN = 8
"""Items named per changed template."""


@click.group("catalog")
def command() -> None:
    """Fetch and show the server's templates, styles, verticals and brand voices.

    Manifests are checked against them before anything is sent.
    """


# --- pull --------------------------------------------------------------------------------------------------


@command.command("pull", short_help="Fetch the catalog into catalog.lock.json.")
@environment_options
def pull(session: Session) -> None:
    """Fetch the server's catalog into `catalog.lock.json`; commit it with `contentops.yaml`.

    Costs no credits and regenerates nothing. Shows what changed and which items use it. An interrupted pull does not
    change the file.
    """
    pulled = operation.pull(session.project(), runtime=session.runtime())
    if not session.as_json:
        for note in pulled.notes:
            terminal.report_line(f"note: {note}")
    session.answer(_pulled_json(pulled), pulled_text(pulled), fit=True)


def _pulled_json(pulled: Pulled) -> dict[str, Json]:
    return {
        "server": pulled.server,
        "written": pulled.written,
        "counts": {kind: len(entries) for kind, entries in _entries(pulled.snapshot).items()},
        "changes": plain(pulled.changes),
        "notes": list(pulled.notes),
    }


def pulled_text(pulled: Pulled) -> Iterator[str]:
    """Yield lines about the changes of the catalog, and then the number of entries."""
    for one in pulled.changes:
        yield from _change(one)
    counts = ", ".join(plural(len(entries), _word(kind)) for kind, entries in _entries(pulled.snapshot).items())
    changed = "written" if pulled.written else "unchanged"
    where = "built in" if pulled.server == "local" else f"catalog.lock.json {changed}"
    yield f"{visible(pulled.server)}: {counts}; {where}."


def _change(one: CatalogChange) -> Iterator[str]:
    sign, style = _SIGNS[one.how]
    yield f"{paint(sign, style)} {one.kind.replace('_', ' ')} `{visible(one.slug)}` {one.how}"
    yield from (f"    {visible(detail)}" for detail in one.details)
    if one.items:
        more = f" and {len(one.items) - _SHOWN:,} more" if len(one.items) > _SHOWN else ""
        named = ", ".join(f"`{visible(item)}`" for item in one.items[:_SHOWN])
        yield f"    used by {plural(len(one.items), 'item')}: {named}{more}"


# --- list --------------------------------------------------------------------------------------------------


@command.command("list", short_help="List templates, styles, verticals and brand voices.")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@environment_options
def list_catalog(session: Session, kind: str | None) -> None:
    """List the catalog in `catalog.lock.json` (for `local`, the built-in catalog). Needs no network."""
    project = session.project()
    snapshot = operation.known_catalog(project)
    kinds = tuple(_entries(snapshot)) if kind is None else (kind.replace("-", "_"),)
    document = snapshot_json(snapshot)
    values = {"server": project.api.server, **{name: document.get(name) for name in kinds}}
    session.answer(values, "\n\n".join(_listing(name, snapshot) for name in kinds))


def _entries(snapshot: Catalog) -> dict[str, Mapping[str, Entry]]:
    """Return the catalog entries of each kind. Brand voices are left out if the server does not list them."""
    voices = {} if snapshot.brand_voices is None else {"brand_voices": snapshot.brand_voices}
    return {"templates": snapshot.templates, "styles": snapshot.styles, "verticals": snapshot.verticals or {}, **voices}


def _word(kind: str) -> str:
    """Return the singular name of a kind, such as `brand voice`."""
    return kind[:-1].replace("_", " ")


def _listing(kind: str, snapshot: Catalog) -> str:
    if {"verticals": snapshot.verticals, "brand_voices": snapshot.brand_voices}.get(kind, ()) is None:
        return f"The server does not list its {_word(kind)}s."
    entries = [one for _, one in sorted(_entries(snapshot)[kind].items())]
    last = "REQUIRED INPUTS" if kind == "templates" else "ABOUT"
    rows = [(one.slug, one.name, one.category, _about(one)) for one in entries]
    return table((_word(kind).upper(), "NAME", "CATEGORY", last), rows)


def _about(one: Entry) -> str:
    """Return the required inputs of a template. For other catalog entries, return the tone or description."""
    inputs: tuple[TemplateInput, ...] | None = getattr(one, "inputs", None)
    if inputs is None:
        return getattr(one, "tone", "") or one.description
    if not getattr(one, "inputs_known", True):
        return "(not known)"
    return ", ".join(each.name for each in inputs if each.required)


# --- show --------------------------------------------------------------------------------------------------


@command.command("show", short_help="Show one template, style, vertical or brand voice.")
@click.argument("slug")
@environment_options
def show(session: Session, slug: str) -> None:
    """Show the template, style, vertical or brand voice SLUG of the catalog. Needs no network."""
    project = session.project()
    snapshot = operation.known_catalog(project)
    kinds = _entries(snapshot)
    matches = {kind: entries[slug] for kind, entries in kinds.items() if slug in entries}
    if not matches:
        hint = did_you_mean(
            slug, [name for entries in kinds.values() for name in entries], "`contentops catalog list` lists them"
        )
        message = f"`{project.api.server}` has no template, style, vertical or brand voice `{slug}`"
        raise UsageError(message, code="unknown-slug", hint=hint)
    document = snapshot_json(snapshot)
    named = {kind[:-1]: next(one for one in document[kind] if one["slug"] == slug) for kind in matches}
    text = "\n\n".join("\n".join(_shown(kind, one)) for kind, one in matches.items())
    session.answer({"server": project.api.server, **named}, text)


def _shown(kind: str, one: Entry) -> Iterator[str]:
    yield f"{_word(kind)} {paint(visible(one.slug), 'strong')}"
    facts = {"name": one.name, "category": one.category, "tone": getattr(one, "tone", ""), "about": one.description}
    yield from (f"  {name}: {visible(value)}" for name, value in facts.items() if value)
    inputs: tuple[TemplateInput, ...] = getattr(one, "inputs", ())
    if not getattr(one, "inputs_known", True):
        yield "  inputs: not known; none is checked"
    elif inputs:
        yield ""
        ordered = sorted(inputs, key=lambda each: (not each.required, each.name))
        yield table(("INPUT", "KIND", "REQUIRED", "DEFAULT", "ABOUT"), [_row(each) for each in ordered])


def _row(one: TemplateInput) -> tuple[str, str, str, str, str]:
    options = "one of " + ", ".join(json_text(option, indent=None) for option in one.options) if one.options else ""
    aliases = "also " + ", ".join(f"`{alias}`" for alias in one.aliases) if one.aliases else ""
    about = "; ".join(part for part in (one.description, options, aliases) if part)
    default = "" if one.default is None else short(one.default, 30)
    return one.name, one.kind, "yes" if one.required else "", default, about

"""`contentops catalog ...`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentops.cli import terminal
from contentops.cli.options import Group, open_project, project_options
from contentops.cli.tables import table
from contentops.errors import UsageError, nearest
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.paint import paint
from contentops.sanitize import json_text, short, visible
from contentops.reporting.summary import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.catalog.differences import Difference
    from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate
    from contentops.cli.options import Session
    from contentops.model import Json
    from contentops.operations.catalog import Pulled

KINDS = ("templates", "styles", "verticals")
_SIGNS = {"added": ("+", "add"), "removed": ("-", "remove"), "changed": ("~", "change")}
_SHOWN = 8
"""Items named per changed template."""


@click.group("catalog", cls=Group, short_help="Fetch and show the templates, styles and verticals a server offers.")
def command() -> None:
    """Fetch and show the templates, styles and verticals a server offers.

    Manifests are checked against them before anything is sent.
    """


# --- pull --------------------------------------------------------------------------------------------------


@command.command("pull", short_help="Fetch the catalog into catalog.lock.json.")
@project_options
@click.pass_obj
def pull(session: Session, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Fetch the server's catalog into `catalog.lock.json`, which is committed beside `contentops.yaml`.

    Costs no credits and regenerates nothing. Says what changed upstream and which items use it. An interrupted pull
    leaves the file as it was, and the next one goes on where it ended.
    """
    from contentops.operations import catalog as pulling

    project = open_project(session, environment, variables)
    pulled = pulling.pull(project, tell=lambda line: terminal.tell(visible(line)))
    if as_json:
        terminal.say_json(_pulled_json(pulled))
        return
    for note in pulled.notes:
        terminal.tell(f"note: {visible(note)}")
    terminal.show("\n".join(pulled_text(pulled, color=terminal.wants_color(sys.stdout))))


def _pulled_json(pulled: Pulled) -> dict[str, Json]:
    return {
        "format_version": FORMAT_VERSION,
        "server": pulled.server,
        "written": pulled.written,
        "counts": {kind: len(entries) for kind, entries in _entries(pulled.offer).items()},
        "changes": [
            {"kind": one.kind, "how": one.how, "slug": one.slug, "details": list(one.details), "items": list(one.items)}
            for one in pulled.differences
        ],
        "notes": list(pulled.notes),
    }


def pulled_text(pulled: Pulled, *, color: bool) -> Iterator[str]:
    """What changed, then how much there is."""
    for one in pulled.differences:
        yield from _difference(one, color=color)
    counts = ", ".join(plural(len(entries), kind[:-1]) for kind, entries in _entries(pulled.offer).items())
    changed = "written" if pulled.written else "unchanged"
    where = "built in" if pulled.server == "local" else f"catalog.lock.json {changed}"
    yield f"{visible(pulled.server)}: {counts}; {where}."


def _difference(one: Difference, *, color: bool) -> Iterator[str]:
    sign, style = _SIGNS[one.how]
    yield f"{paint(sign, style, color=color)} {one.kind} `{visible(one.slug)}` {one.how}"
    yield from (f"    {visible(detail)}" for detail in one.details)
    if one.items:
        more = f" and {len(one.items) - _SHOWN:,} more" if len(one.items) > _SHOWN else ""
        named = ", ".join(f"`{visible(item)}`" for item in one.items[:_SHOWN])
        yield f"    used by {plural(len(one.items), 'item')}: {named}{more}"


# --- list --------------------------------------------------------------------------------------------------


@command.command("list", short_help="List templates, styles and verticals.")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@project_options
@click.pass_obj
def list_offered(
    session: Session, kind: str | None, environment: str, variables: tuple[str, ...], *, as_json: bool
) -> None:
    """List what the server offers, from `catalog.lock.json` or, for `local`, as built in; needs no network."""
    from contentops.catalog.lockfile import as_json as offer_json
    from contentops.operations import catalog as pulling

    project = open_project(session, environment, variables)
    offer = pulling.offered(project)
    kinds = KINDS if kind is None else (kind,)
    if as_json:
        said = offer_json(offer)
        document = {name: said[name] for name in kinds}
        terminal.say_json({"format_version": FORMAT_VERSION, "server": project.api.server, **document})
    else:
        terminal.say("\n\n".join(_listing(name, offer) for name in kinds))


def _entries(offer: Offer) -> dict[str, Mapping[str, OfferedTemplate] | Mapping[str, OfferedChoice]]:
    return {"templates": offer.templates, "styles": offer.styles, "verticals": offer.verticals or {}}


def _listing(kind: str, offer: Offer) -> str:
    if kind == "verticals" and offer.verticals is None:
        return "The server does not tell its verticals."
    if kind == "templates":
        rows = [
            (one.slug, one.name, one.category, _required(one))
            for one in sorted(offer.templates.values(), key=lambda one: one.slug)
        ]
        return table(("TEMPLATE", "NAME", "CATEGORY", "REQUIRED INPUTS"), rows)
    choices: Mapping[str, OfferedChoice] = offer.styles if kind == "styles" else offer.verticals or {}
    head = (kind[:-1].upper(), "NAME", "CATEGORY", "ABOUT")
    return table(
        head,
        [
            (one.slug, one.name, one.category, one.tone or one.description)
            for one in sorted(choices.values(), key=lambda one: one.slug)
        ],
    )


def _required(template: OfferedTemplate) -> str:
    if template.inputs is None:
        return "(not known)"
    return ", ".join(one.name for one in template.inputs if one.required)


# --- show --------------------------------------------------------------------------------------------------


@command.command("show", short_help="Show one template, style or vertical.")
@click.argument("slug")
@project_options
@click.pass_obj
def show(session: Session, slug: str, environment: str, variables: tuple[str, ...], *, as_json: bool) -> None:
    """Show what is known of SLUG: a template with its inputs, a style profile or a vertical; needs no network."""
    from contentops.catalog.lockfile import as_json as offer_json
    from contentops.operations import catalog as pulling

    project = open_project(session, environment, variables)
    offer = pulling.offered(project)
    found = {kind: entries[slug] for kind, entries in _entries(offer).items() if slug in entries}
    if not found:
        near = nearest(slug, [name for entries in _entries(offer).values() for name in entries])
        hint = f"did you mean `{near}`?" if near else "`contentops catalog list` lists them"
        message = f"`{project.api.server}` offers no template, style or vertical `{slug}`"
        raise UsageError(message, code="unknown-slug", hint=hint)
    if as_json:
        said = offer_json(offer)
        named = {kind[:-1]: next(one for one in said[kind] if one["slug"] == slug) for kind in found}
        terminal.say_json({"format_version": FORMAT_VERSION, "server": project.api.server, **named})
        return
    color = terminal.wants_color(sys.stdout)
    terminal.say("\n\n".join("\n".join(_shown(kind, one, color=color)) for kind, one in found.items()))


def _shown(kind: str, one: OfferedTemplate | OfferedChoice, *, color: bool) -> Iterator[str]:
    yield f"{kind[:-1]} {paint(visible(one.slug), 'strong', color=color)}"
    facts = {"name": one.name, "category": one.category, "tone": getattr(one, "tone", ""), "about": one.description}
    yield from (f"  {name}: {visible(value)}" for name, value in facts.items() if value)
    inputs: tuple[OfferedInput, ...] | None = getattr(one, "inputs", ())
    if inputs is None:
        yield "  inputs: not known; none is checked"
    elif inputs:
        yield ""
        ordered = sorted(inputs, key=lambda each: (not each.required, each.name))
        yield table(("INPUT", "KIND", "REQUIRED", "DEFAULT", "ABOUT"), [_row(each) for each in ordered])


def _row(one: OfferedInput) -> tuple[str, str, str, str, str]:
    options = "one of " + ", ".join(json_text(option, indent=None) for option in one.options) if one.options else ""
    aliases = "also " + ", ".join(f"`{alias}`" for alias in one.aliases) if one.aliases else ""
    about = "; ".join(part for part in (one.description, options, aliases) if part)
    default = "" if one.default is None else short(one.default, 30)
    return one.name, one.kind, "yes" if one.required else "", default, about

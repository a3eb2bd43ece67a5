"""The commands `contentops adopt`, `import` and `promote`, which make items from texts that exist already."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click
from msgspec import structs

from contentops.cli.carry_out import carry_out
from contentops.cli.confirmation import AdoptionQuestion
from contentops.cli.options import (
    choice_of,
    drafts_option,
    environment_options,
    file_option,
    flags_of,
    json_option,
    selection_options,
    variable_option,
    with_options,
)
from contentops.cli.session import Session
from contentops.errors import ExitCode, UsageError, suggest
from contentops.manifests.project import parse_variable, source_of
from contentops.model import BASE, Json, Project, Run
from contentops.operations import adopt as operation
from contentops.operations.adopt import Options, read_map
from contentops.operations.apply import ApplyOptions
from contentops.operations.opening import known_environments
from contentops.operations.workspace import catalog_of
from contentops.reporting.summary import command as command_line
from contentops.sanitize import visible

asking_options = with_options(
    click.option("--into", metavar="FILE", default="", help="The manifest that gets the items."),
    click.option("--check", is_flag=True, help="Print what would be written to the manifest, and write nothing."),
    click.option("--yes", is_flag=True, help="Do not ask."),
)


@click.command("adopt")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--template", metavar="NAME", default="", help="The template of the items.")
@click.option("--style", metavar="NAME", default="", help="The style of the items.")
@click.option("--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input of all items. Repeatable.")
@file_option("--map", "mapping", help="A YAML file that says which front matter keys to read.")
@asking_options
@environment_options
def command(
    session: Session,
    paths: tuple[str, ...],
    template: str,
    style: str,
    inputs: tuple[str, ...],
    mapping: str,
    into: str,
    *,
    check: bool,
    yes: bool,
) -> ExitCode:
    """Make items from existing Markdown files. No file changes, nothing is generated, and the plan is empty afterwards.

    PATH is a file, a folder or a glob. The items go into a manifest, their records into the lock. With a template
    (`--template` or `--map`), a file becomes a normal item, with the `defaults` of the project; without one, a
    protected item, which is never generated. A file that a manifest already declares only gets a record. If `approval`
    is required, the next apply makes drafts of these texts; `plan` lists them.
    """
    project = session.project()
    given = {"template": template, "style": style, "inputs": dict(map(parse_variable, inputs))}
    values: dict[str, Json] = {name: value for name, value in given.items() if value}
    _check_slugs(project, values)
    options = structs.replace(
        read_map(session.path(mapping)) if mapping else Options(),
        into=_in_project(session, project, into) if into else "",
        values=values,
    )
    names = [_in_project(session, project, path) for path in paths]
    confirmation = AdoptionQuestion(session, "adopted", check=check, yes=yes)
    return confirmation.answer(
        operation.adopt(project, names, options, confirm=confirmation, runtime=session.runtime())
    )


@click.command("import")
@click.argument("content_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every stored content that no item owns.")
@asking_options
@environment_options
def import_contents(
    session: Session, content_ids: tuple[str, ...], into: str, *, every: bool, check: bool, yes: bool
) -> ExitCode:
    """Make items and files from stored contents of the server. Name their IDs, or use `--all`.

    Costs no credits: nothing is generated or saved, and the plan is empty afterwards. If a lock knows the request of a
    content, the item has that request; otherwise the item is protected. Contents of existing items are left alone. If
    `approval` is required, the next apply makes drafts of these texts; `plan` lists them.
    """
    if every == bool(content_ids):
        raise UsageError("`import` takes the ids of contents, or `--all`", hint="`contentops content list` lists them")
    project = session.project()
    confirmation = AdoptionQuestion(session, "imported", check=check, yes=yes)
    manifest = _in_project(session, project, into) if into else ""
    return confirmation.answer(
        operation.import_contents(project, content_ids, into=manifest, confirm=confirmation, runtime=session.runtime())
    )


def _check_slugs(project: Project, values: dict[str, Json]) -> None:
    """Raise UsageError for a template or style that the server does not have."""
    catalog = catalog_of(project)
    known = {} if catalog is None else {"template": catalog.templates, "style": catalog.styles}
    for name, names in known.items():
        value = values.get(name)
        if value and value not in names:
            hint = suggest(str(value), tuple(sorted(names))) or "`contentops catalog list` lists them"
            raise UsageError(f"there is no {name} `{value}`", code=f"unknown-{name}", hint=hint)


def _in_project(session: Session, project: Project, name: str) -> str:
    """Return a path from the command line, relative to the project root and with forward slashes."""
    here = os.path.join(os.path.realpath(session.directory), name)  # noqa: PTH118 - a glob is no path
    return os.path.relpath(here, os.path.realpath(project.root)).replace(os.sep, "/")


# --- promote -----------------------------------------------------------------------------------------------


@click.command("promote")
@with_options(
    click.option(
        "--from",
        "source",
        metavar="NAME",
        required=True,
        help="The environment to promote from; `default` is the project without `--env`.",
    ),
    click.option(
        "--to",
        "target",
        metavar="NAME",
        required=True,
        help="The environment to promote to.",
    ),
    selection_options,
    click.option(
        "--on-edit",
        type=click.Choice(["block", "keep", "overwrite"]),
        help="What to do with files that were edited in the target environment.",
    ),
    drafts_option,
    click.option("-y", "--yes", "--auto-approve", "yes", is_flag=True, help="Do not ask."),
    variable_option,
    json_option,
)
def promote(
    session: Session,
    source: str,
    target: str,
    *,
    yes: bool,
    **chosen: Any,
) -> int:
    """Take texts, with their edits, from one environment to another, for free.

    Shows a plan, asks, and carries it out, as `apply` does, for items with the same request in both environments. Other
    items are left alone. The texts are the files in this clone, found with the lock of the source environment; its
    server and cache are not used. In an environment with `promote_from`, every apply does this.
    """
    project = _project(session, source, target)
    inputs = {"variables": session.variables, **chosen}
    choice = choice_of(**chosen, only_promoted=True)

    def again(_run: Run) -> str:
        flags = [f"--from {shlex.quote(source)}", f"--to {shlex.quote(target)}", *flags_of(inputs)]
        return command_line("promote", "", flags)

    options = ApplyOptions(inputs={**inputs, "promote_from": source})
    return carry_out(session, project, choice, options, again, yes=yes)


def _project(session: Session, source: str, target: str) -> Project:
    """Return the project of the target environment. Raises UsageError if the source has no lock."""
    base = session.project()
    environments = base.settings.get("environments") or {}
    environment = "" if target == BASE and BASE not in environments else target
    project = structs.replace(session, environment=environment).project()
    name = source_of(project, source)
    if name not in known_environments(project):
        command = f"contentops apply --env {name}" if name else "contentops apply"
        message = f"nothing was applied in `{visible(source)}` yet: it has no lock"
        hint = f"`{command}` makes its texts; if you use another clone, commit its lock first"
        raise UsageError(message, code="nothing-applied", hint=hint)
    return structs.replace(project, promote_from=name)

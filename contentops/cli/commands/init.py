"""The commands `contentops init` and `schema`, which write a project's first files and print JSON Schemas."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from msgspec import structs

from contentops.cli import terminal
from contentops.cli.options import json_option
from contentops.cli.session import Session
from contentops.errors import UsageError, did_you_mean
from contentops.model import Json
from contentops.operations.init import (
    GENERATORS,
    NO_SITE,
    NewFiles,
    SiteLayout,
    find_site,
    holder,
    installed_action,
    output_line,
    project_files,
    workflow_files,
)
from contentops.sanitize import visible
from contentops.schema_files import SCHEMA_NAMES, load_schema
from contentops.state.approvals import FILE

_AFTER_CI = "In the repository's settings, make {} {} with the secret `WRITERZROOM_API_KEY`."
_ADDRESS = (
    "Set `OPENAI_BASE_URL` to its address, such as `http://127.0.0.1:11434/v1` for Ollama,"
    " or `OPENAI_API_KEY` for OpenAI."
)
_ANY = "*"
"""The value of `--model` without a name. No model has this name."""
_NAME_IT = (
    "nothing was written; `--action OWNER/REPO@COMMIT` names the repository on GitHub and the commit you reviewed"
)


@click.command("init")
@click.argument("directory", default=".")
@click.option("--name", default="", help="The project's name. Default: the folder's name.")
@click.option("--bare", is_flag=True, help="Write no example items.")
@click.option(
    "--preset",
    type=click.Choice([*GENERATORS, NO_SITE]),
    help="The site generator. Default: found by its settings file.",
)
@click.option(
    "--model",
    metavar="[NAME]",
    is_flag=False,
    flag_value=_ANY,
    default="",
    help="Let this model write: Ollama, vLLM, or any server with the OpenAI chat API. Without NAME: the first one that"
    " runs on this machine.",
)
@click.option(
    "--ci",
    type=click.Choice(["github"]),
    help="Also write workflows, and propose an owner of the approvals. In an existing project, nothing else.",
)
@click.option(
    "--env",
    "environments",
    metavar="NAME",
    multiple=True,
    help="An environment for the workflows. Repeatable, in the order of applying.",
)
@click.option(
    "--action",
    metavar="OWNER/REPO@COMMIT",
    default="",
    help="The action for the workflows. Default: the GitHub commit that contentops was installed from.",
)
@json_option
def command(
    session: Session,
    directory: str,
    name: str,
    model: str,
    ci: str | None,
    action: str,
    environments: tuple[str, ...],
    *,
    bare: bool,
    preset: str | None,
) -> None:
    """Start a project in DIRECTORY (default: this folder).

    Writes settings, an example manifest with a data file, and the schemas for your editor. Overwrites nothing. In the
    folder of a site (Hugo, Astro, Docusaurus, MkDocs, Eleventy, Jekyll, Pelican), it puts texts where the site reads
    them. Workflows are named after the project's folder in the repository, so each project has its own.
    """
    if (action or environments) and not ci:
        raise click.UsageError("`--action` and `--env` need `--ci github`")
    folder, address = session.path(directory), ""
    exists = bool(ci) and (folder / "contentops.yaml").is_file()
    if exists and (bare or preset or model):
        options = "`--bare`, `--preset` and `--model`"
        raise click.UsageError(f"{options} are for a new project, and there is one already")
    if exists:
        for one in environments or (None,):
            name = structs.replace(session, directory=str(folder), environment=one).project().name
    elif environments:
        raise click.UsageError("`--env` needs a project that has the environment; a new one has none yet")
    action = _known(action) if ci else action
    if model == _ANY:
        from contentops.operations.connection import running_model

        model, address = running_model(os.environ)
    # All files are checked before any is written.
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:100] or "content"
    site = None if exists else find_site(folder, preset or "")
    wanted = [] if exists else [project_files(folder, name=name, site=site, bare=bare, model=model)]
    wanted += [workflow_files(folder, action, project=name, environments=environments)] if ci else []
    written = [path for files in wanted for path in files.write()]
    lines = [f"  + {path}" for path in written]
    if ci:
        lines += ["", *_after_ci(wanted[-1], action, environments)]
    if site:
        lines += ["", *_about(site)]
    values: dict[str, Json] = {"directory": str(folder), "files": list(written)}
    values |= {"site": structs.asdict(site)} if site else {}
    ready = [] if exists else ["", *_ready(folder, wanted[0], bare=bare, site=site, model=model, address=address)]
    values |= {"model": model} if model else {}
    session.answer(values, [*lines, *ready], fit=True)


def _known(action: str) -> str:
    """Return the GitHub action that the workflows use. Raises UsageError if it is not known."""
    if known := action or installed_action():
        return known
    raise UsageError("where this contentops came from is not known, so workflows cannot install it", hint=_NAME_IT)


def _after_ci(workflows: NewFiles, action: str, environments: Sequence[str]) -> Iterator[str]:
    _, apply, manual = (Path(path).name for path in workflows.files)
    yield f"The workflows run `{action}`."
    holders = " and ".join(f"`{holder(one)}`" for one in environments or ("",))
    yield _AFTER_CI.format("environments" if len(environments) > 1 else "an environment", holders)
    for file in workflows.lines:
        yield f"Say in {file} who may change `{FILE}`: its line is there, commented out."
    yield f"Every push to `{workflows.branch}` is applied; to change the branch, edit {apply} and {manual}."


def _about(site: SiteLayout) -> Iterator[str]:
    """Yield lines about the site that was found, and about what a person still has to do."""
    generator = GENERATORS[site.generator]
    found = f"Found {generator.title} (`{site.settings}`)" if site.settings else f"For {generator.title}"
    place = f"`{site.folder}`" if site.folder else "this folder"
    yield f"{found}: texts go to {place}, manifests to `{site.manifests}/`."
    yield f"To change that, edit this line of `contentops.yaml`: `{output_line(site)}`"
    if generator.advice:
        yield site.said(generator.advice)


def _ready(
    folder: Path, files: NewFiles, *, bare: bool, site: SiteLayout | None, model: str, address: str
) -> Iterator[str]:
    where = "" if folder == Path() else f" in `{visible(str(folder))}`"
    prefix = "contentops" if folder == Path() else f"contentops -C {shlex.quote(visible(str(folder)))}"
    _, manifest, *_ = files.files
    if bare:
        yield f"A project without items is ready{where}. Declare items in `{manifest}`: a comment there shows how."
    else:
        about = f"the model `{visible(model)}` writes its texts" if model else "it needs no account and costs nothing"
        yield f"A project of 4 items is ready{where}; {about}."
    if site and site.preset:
        yield f"Its texts are drafts. To publish them, delete `draft: true` in `{manifest}`."
    if site and (drafts := GENERATORS[site.generator].drafts):
        yield site.said(drafts)
    if address and "OPENAI_BASE_URL" not in os.environ:
        yield f"It runs at this address; say so first: `export OPENAI_BASE_URL={visible(address)}`"
    elif model and not os.environ.keys() & {"OPENAI_BASE_URL", "OPENAI_API_KEY"}:
        yield _ADDRESS
    if bare:
        yield f"Next: `{prefix} plan`"
    else:
        yield f"Next: `{prefix} plan`, then `{prefix} apply`"


@click.command("schema")
@click.argument("name", required=False)
@json_option
def schema(session: Session, name: str | None) -> None:
    """Print the JSON Schema (draft-07) of format NAME. Without NAME, list the formats."""
    names = sorted(SCHEMA_NAMES)
    if name is None:
        session.answer({"schemas": names}, names)
    elif name in names:
        terminal.say_json(load_schema(name))
    else:
        hint = did_you_mean(name, names, f"there are: {', '.join(names)}")
        raise UsageError(f"there is no schema `{name}`", code="unknown-schema", hint=hint)

"""The first files of a project."""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING

from contentops.errors import Refused
from contentops.operations.starting.new_files import NewFiles, free_folder, starter
from contentops.schema_files import schema_path
from contentops.state import jobs, lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from contentops.operations.starting.sites import SiteLayout

DEFAULT = "content"
"""The folder of manifests where the settings name none."""
SCHEMAS = ("project", "manifest")
"""The schemas that the first lines of settings and manifest name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": (lock.LINE, jobs.RULE),
}
"""Lines that are added where they are missing."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MODEL = 200
_VARIABLES = "\nvars:\n  company: Example Ltd\n"
_OUTLINES = """\
  # The bundled server: free, offline, no account. It writes draft outlines.
  # For the real service use https://api.writerzroom.com/v1 and put your key into WRITERZROOM_API_KEY.
  base_url: local
"""
_WITH_MODEL = """\
  # The bundled server calls this model. OPENAI_BASE_URL has its address, OPENAI_API_KEY its key if it needs one.
  base_url: local
  engine: openai
  model: {}
  passes: one # one call for each text; `staged` makes a plan, then sections, and edits them
  # context: 8192 # the most tokens of prompt and answer: a brief that does not fit is then an error of the plan
"""
_CREDITS = """\
# What one apply may spend; `contentops plan` shows the price first.
budget:
  credits_per_apply: 100"""
_MONEY = """\
# The price of a million tokens, by the list of the provider: with it, plans show money, and `budget` can limit it.
# price: {input: 0.25, output: 2.00, currency: USD}

# What one apply may generate.
budget:
  items_per_apply: 20
  # money_per_apply: 1"""
_METADATA = """\
  metadata: # what a site wants to know of every text
    date: "2026-01-01"
    description: "{{ inputs.topic }}"
"""
_DRAFT = "    draft: true # the site does not publish it; delete this line to publish\n"


def project_files(
    directory: Path, *, name: str, site: SiteLayout | None = None, bare: bool = False, model: str = ""
) -> NewFiles:
    """Return the files of a new project; `bare`: without example items; `model`: what writes the texts, if any.

    In a site, all but the settings goes into its folder of manifests. Raises Refused for a bad name, and for files in
    the way.
    """
    if not _NAME.fullmatch(name):
        message = f"`{name}` cannot be a project's name"
        raise Refused(message, code="bad-name", hint="use letters, digits, `.`, `_` and `-`; `--name` states one")
    if len(model) > _MODEL:
        raise Refused(f"the name of the model has more than {_MODEL} characters", code="bad-name")
    folder = site.manifests if site else free_folder(directory, DEFAULT)
    manifest = f"{folder}/articles.yaml"
    schemas = f"{folder}/schemas" if site else "schemas"
    data = f"{folder if site else 'data'}/cities.csv"
    # The bundled server writes outlines, which no site should publish unread.
    draft = _DRAFT if site and site.preset else ""
    marks = {
        "@name@": name,
        "@site@": _places(folder, site),
        "@api@": _WITH_MODEL.format(json.dumps(model, ensure_ascii=False)) if model else _OUTLINES,
        "@budget@": _MONEY if model else _CREDITS,
        "@vars@": "" if bare else _VARIABLES,
        "@metadata@": _METADATA + draft if site else "",
        "@defaults@": f"defaults:\n  metadata:\n{draft}\n" if draft else "",
        "@data@": data,
        "@first@": "what-we-do" if site else "welcome",  # new sites of Docusaurus have a post `welcome`
    }
    files = {
        "contentops.yaml": _filled("contentops.yaml", {**marks, "@schemas@": schemas}),
        manifest: _filled(
            "bare.yaml" if bare else "articles.yaml",
            {**marks, "@schemas@": posixpath.relpath(schemas, posixpath.dirname(manifest))},
        ),
    }
    if not bare:
        files[data] = starter("cities.csv")
    for schema in SCHEMAS:
        files[f"{schemas}/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return NewFiles(top=directory, files=files, lines=GIT_LINES, hint="nothing was written; choose another folder")


def output_line(site: SiteLayout) -> str:
    """Return the line of the settings that says where texts go."""
    return f"output: {json.dumps(site.output, ensure_ascii=False)}"


def _places(manifests: str, site: SiteLayout | None) -> str:
    """Return the lines of the settings that say where files are, after an empty line; nothing for the defaults."""
    lines = [] if manifests == DEFAULT else [f'manifests: ["{manifests}/**/*.yaml"]']
    lines += [output_line(site)] if site else []
    lines += [f"preset: {site.preset}"] if site and site.preset else []
    return "".join(f"\n{line}" for line in lines) + ("\n" if lines else "")


def _filled(path: str, marks: Mapping[str, str]) -> str:
    text = starter(path)
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text

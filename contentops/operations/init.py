"""Creates the first files of a project, adapted to the project's site and repository.

No file of a site is run or parsed: one line of its settings names the folder that it reads, and a pattern finds that
line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from contentops.atomic_io import PUBLIC, read_file, replace
from contentops.ci.git import run_git, try_git
from contentops.ci.results import proposed_line
from contentops.documents.folders import Tree
from contentops.documents.paths import check_output, folders, shown
from contentops.errors import ContentopsError, OutputError, Refused, UsageError
from contentops.manifests.discover import FileError, ProjectFiles
from contentops.schema_files import schema_path
from contentops.state import approvals, jobs, lock

# ---- Where this contentops was installed from: its commit on GitHub.

_GITHUB = re.compile(
    r"(?:https://(?:[^@/\s]*@)?|ssh://git@|git@)github\.com[:/]"
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+?)(?:\.git)?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def installed_action() -> str:
    """Return the GitHub action of this version as `OWNER/REPO@COMMIT`, or an empty text if it is unknown."""
    try:
        return action_from(metadata.distribution("contentops").read_text("direct_url.json") or "")
    except metadata.PackageNotFoundError:
        return ""


def action_from(direct_url: str) -> str:
    """Return the GitHub action that an installer's `direct_url.json` names (PEP 610).

    It is empty if the file names none.
    """
    try:
        about: Any = json.loads(direct_url)
        found, commit = _GITHUB.fullmatch(str(about["url"])), str(about["vcs_info"]["commit_id"])
    except (ValueError, KeyError, TypeError):
        return ""
    return f"{found['name']}@{commit}" if found and _COMMIT.fullmatch(commit) else ""


# ---- New files of a project, of which none replaces what is there.


class NewFiles(Struct, frozen=True, kw_only=True):
    """The new files of a project, by their path below `top`, and lines to add to existing files.

    Making one raises Refused if a file exists already, or if a path leads through a link.
    """

    top: Path
    files: Mapping[str, str]
    lines: Mapping[str, tuple[str, ...]] = {}
    branch: str = ""
    """The branch that workflows apply."""
    hint: str = ""
    """What to do if a file exists already."""

    def __post_init__(self) -> None:
        taken = sorted(path for path in self.files if os.path.lexists(self.top / path))
        if taken:
            message = f"{', '.join(f'`{path}`' for path in taken)} {'exists' if len(taken) == 1 else 'exist'} already"
            raise Refused(message, code="exists", hint=self.hint)
        paths = {folder for path in self.files for folder in folders(path)} | self.lines.keys()
        links = sorted(path for path in paths if (self.top / path).is_symlink())
        if links:
            message = f"{', '.join(f'`{path}`' for path in links)} {'is a link' if len(links) == 1 else 'are links'}"
            raise Refused(message, code="symlink", hint="nothing was written; replace it by a folder or file")

    def write(self) -> tuple[str, ...]:
        """Write the files and lines, and return the paths that were written or extended.

        Raises OutputError if a file cannot be written.
        """
        written: list[str] = []
        path = ""
        try:
            for path, text in self.files.items():
                self.top.mkdir(parents=True, exist_ok=True)
                *above, name = path.split("/")
                with (
                    Tree(str(self.top)).folder(above, create=True) as folder,
                    os.fdopen(folder.make_file(name, PUBLIC), "w", encoding="utf-8", newline="\n") as stream,
                ):
                    stream.write(text)
                written.append(path)
            for path, lines in self.lines.items():
                if _append(self.top / path, lines):
                    written.append(path)
        except (OSError, UnicodeDecodeError, OutputError) as error:
            message = f"`{self.top / path}` cannot be written: {getattr(error, 'strerror', None) or error}"
            hint = "choose another folder, or check who may write there"
            if written:
                message += f"; written before that: {', '.join(f'`{one}`' for one in written)}"
                hint = "fix that, remove the written files, then try again"
            raise OutputError(message, hint=hint) from error
        return tuple(written)


def _append(path: Path, lines: tuple[str, ...]) -> bool:
    old = read_file(path, follow=False).decode() if os.path.lexists(path) else ""
    missing = [line for line in lines if line not in old.splitlines()]
    if missing:
        gap = "" if not old or old.endswith("\n") else "\n"
        replace(path, (old + gap + "".join(f"{line}\n" for line in missing)).encode())
    return bool(missing)


def _filled(path: str, marks: Mapping[str, str]) -> str:
    """Return the text of a file in `starter/` with its placeholders filled in."""
    text = (resources.files("contentops.operations") / "starter" / path).read_text(encoding="utf-8")
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def free_folder(top: Path, *first: str, taken: str = "") -> str:
    """Return a name for the folder of manifests; if possible, a name that no folder has yet.

    So no existing YAML file is read as a manifest. The names in `first` are tried before the usual ones; the name
    `taken` is never used.
    """
    names = [one for one in (*first, "manifests", "contentops", "contentops-manifests") if one != taken]
    return next((one for one in names if not os.path.lexists(top / one)), names[-1])


# ---- The first files of a project.

DEFAULT = "content"
"""The folder of manifests if the settings name none."""
SCHEMAS = ("project", "manifest")
"""The schemas that the first lines of settings and manifest name."""
GIT_LINES: Mapping[str, tuple[str, ...]] = {
    ".gitignore": (".contentops/", ".env"),
    ".gitattributes": (lock.FORMAT.rule, jobs.FORMAT.rule, approvals.FORMAT.rule),
}
"""Lines that are added where they are missing."""
_PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
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
_DRAFT = "    draft: true # delete this line to publish\n"


def project_files(
    directory: Path, *, name: str, site: SiteLayout | None = None, bare: bool = False, model: str = ""
) -> NewFiles:
    """Return the files of a new project.

    `bare`: without example items. `model`: the model that writes the texts, or empty. In a site, all files but the
    settings go into the site's folder of manifests. Raises Refused if the name is bad, or if a file exists already.
    """
    if not _PROJECT_NAME.fullmatch(name):
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
        files[data] = _filled("cities.csv", {})
    for schema in SCHEMAS:
        files[f"{schemas}/{schema}.schema.json"] = schema_path(schema).read_text(encoding="utf-8")
    return NewFiles(top=directory, files=files, lines=GIT_LINES, hint="nothing was written; choose another folder")


def output_line(site: SiteLayout) -> str:
    """Return the line of the settings that says where texts are written."""
    return f"output: {json.dumps(site.output, ensure_ascii=False)}"


def _places(manifests: str, site: SiteLayout | None) -> str:
    """Return the lines of the settings file that name the folders of texts and manifests.

    They are empty for the default folders.
    """
    lines = [] if manifests == DEFAULT else [f'manifests: ["{manifests}/**/*.yaml"]']
    lines += [output_line(site)] if site else []
    lines += [f"preset: {site.preset}"] if site and site.preset else []
    return "".join(f"\n{line}" for line in lines) + ("\n" if lines else "")


# ---- Find the site generator of a folder by its settings file, and choose where a new project writes its texts.

LARGEST: Final = 256 << 10
"""Bytes of the largest settings file that is read."""
NO_SITE: Final = "none"
"""The name for `--preset` of a project that belongs to no site."""


class SiteGenerator(Struct, frozen=True, kw_only=True):
    """A site generator: how its sites are recognised, and from which folders it reads texts."""

    title: str
    preset: str = ""
    """Its preset in `contentops.yaml`, or empty."""
    settings: tuple[str, ...]
    """Names of its settings file."""
    sign: re.Pattern[str] = re.compile("")
    """What a settings file must contain if its name is in `shared`."""
    shared: tuple[str, ...] = ()
    """Names of settings files that other programs use too."""
    reads: re.Pattern[str] | None = None
    """The line of the settings that names the folder it reads."""
    top: str = ""
    """The folder that it reads if no line names one; empty means the whole site."""
    folders: tuple[str, ...] = ("",)
    """Folders of texts below it: the first that is there is taken, else the only one of `only_in`, else the first."""
    only_in: str = ""
    file: str = "{{ item.id }}.md"
    drafts: str = ""
    """What keeps drafts out of the site, as a sentence with `{output}` and `{folder}`; empty: the generator does."""
    advice: str = ""
    """What a person has to do, as a sentence with the folders `{output}` and `{manifests}`."""


def _line(key: str, before: str = "") -> re.Pattern[str]:
    """Return a pattern for a settings line such as `key: docs`, `key = "docs"` or `"key": "docs",`."""
    end = r"[\"']?[ \t]*(?:[,#\r]|$)"
    return re.compile(
        rf"^{before}[\"']?{key}[\"']?[ \t]*[:=][ \t]*[\"']?([\w./-]+)(?={end})", re.MULTILINE | re.IGNORECASE
    )


def _scripts(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{ending}" for ending in ("mjs", "js", "cjs", "ts", "mts", "cts"))


GENERATORS: Final[Mapping[str, SiteGenerator]] = {
    "hugo": SiteGenerator(
        title="Hugo",
        preset="hugo",
        settings=tuple(
            f"{folder}hugo.{ending}"
            for folder in ("", "config/_default/")
            for ending in ("toml", "yaml", "yml", "json")
        ),
        shared=("config.toml", "config/_default/config.toml"),
        sign=re.compile(
            r"^[ \t]*(?:baseURL|languageCode|contentDir|defaultContentLanguage)[ \t]*=", re.MULTILINE | re.IGNORECASE
        ),
        reads=_line("contentDir", r"[ \t]*"),
        top="content",
        folders=("posts", "post", "blog"),
    ),
    "astro": SiteGenerator(
        title="Astro",
        preset="astro",
        settings=_scripts("astro.config"),
        folders=("src/content/blog", "src/content/posts", "src/content/docs"),
        only_in="src/content",
        drafts=(
            "Astro publishes drafts too. To leave them out, name `draft: z.boolean().optional()` in the schema of that "
            'collection, and read it with `getCollection("{folder}", ({{ data }}) => data.draft !== true)`.'
        ),
        advice="The `metadata` of each item has to fit the schema of that collection in `src/content.config.ts`.",
    ),
    "docusaurus": SiteGenerator(
        title="Docusaurus", preset="docusaurus", settings=_scripts("docusaurus.config"), folders=("blog", "docs")
    ),
    "mkdocs": SiteGenerator(
        title="MkDocs",
        settings=("mkdocs.yml", "mkdocs.yaml"),
        reads=_line("docs_dir"),
        top="docs",
        drafts="MkDocs publishes every page. To leave some out, name their paths under `draft_docs` in its settings.",
    ),
    "eleventy": SiteGenerator(
        title="Eleventy",
        settings=(*_scripts(".eleventy"), *_scripts("eleventy.config")),
        reads=re.compile(
            r"^(?![ \t]*(?://|\*)).*?(?:\binput[\"']?[ \t]*:[ \t]*|\bsetInputDirectory\([ \t]*)[\"']([\w./-]+)[\"']",
            re.MULTILINE,
        ),
        folders=("posts", "blog"),
        drafts=(
            "Eleventy publishes drafts too. To leave them out, add to its settings: "
            '`eleventyConfig.addPreprocessor("drafts", "*", (data) => data.draft ? false : undefined);`'
        ),
        advice="Its texts need a layout: name one in a data file of that folder, such as `{output}{folder}.json`.",
    ),
    "jekyll": SiteGenerator(
        title="Jekyll",
        preset="jekyll",
        settings=("_config.yaml", "_config.toml"),
        shared=("_config.yml",),
        # Hexo has a file of this name too.
        sign=re.compile(r"\A(?![\s\S]*^(?:source_dir|public_dir):)", re.MULTILINE),
        reads=_line("source"),
        folders=("_posts",),
        file="{{ item.metadata.date[:10] }}-{{ item.id }}.md",
        advice=(
            "Every item needs a `date` in its `metadata`: the name of a post begins with it. So that Jekyll publishes "
            'no file of the project, add to `exclude` in `_config.yml`: `.contentops`, `"contentops*"`, `{manifests}`.'
        ),
    ),
    "pelican": SiteGenerator(
        title="Pelican",
        preset="pelican",
        settings=("pelicanconf.py",),
        reads=_line("PATH"),
        top="content",
        advice="Pelican reads the front matter of these texts with its plug-in `pelican-yaml-metadata`.",
    ),
}
"""The site generators, by the name that `init --preset` takes."""


class SiteLayout(Struct, frozen=True, kw_only=True):
    """The folders for the texts and manifests of a project that belongs to a site."""

    generator: str
    """Its name in `GENERATORS`."""
    settings: str = ""
    """The settings file that it was recognised by; empty: a person named the generator, and there is none to read."""
    output: str
    """The template of output paths."""
    manifests: str
    """The folder of manifests."""
    preset: str
    """The preset in `contentops.yaml`, or empty."""

    @property
    def folder(self) -> str:
        """Return the folder of the texts, with a slash at its end. It is empty for the site's own folder."""
        return self.output.rpartition("/")[0] + "/" if "/" in self.output else ""

    def said(self, sentence: str) -> str:
        """Return a sentence about the site generator, with the folders of this site filled in."""
        name = self.folder.rstrip("/").rpartition("/")[2]
        return sentence.format(output=self.folder, folder=name, manifests=self.manifests)


def find_site(folder: Path, chosen: str = "") -> SiteLayout | None:
    """Return the layout of the site in `folder`, or None if there is no site.

    `folder` may not exist yet. The generator is `chosen`, or it is recognised by its settings file. Raises UsageError
    if it may be one of several sites, a settings file cannot be read, or the folder of its texts cannot have outputs.
    """
    files = ProjectFiles(folder)
    found: dict[str, tuple[str, str]] = {}
    unclear: dict[str, str] = {}
    for name, generator in GENERATORS.items() if chosen != NO_SITE else ():
        for path in (*generator.settings, *generator.shared) if chosen in {"", name} else ():
            try:
                text = _read(files, path)
            except FileError as error:
                unclear.setdefault(name, str(error))
                continue
            if text is not None and (path in generator.settings or generator.sign.search(text)):
                found.setdefault(name, (path, text))
    if chosen in GENERATORS:
        return _site(folder, chosen, *found.get(chosen, ("", "")))
    if unclear or len(found) > 1:
        raise _undecided({name: path for name, (path, _) in found.items()}, unclear)
    return next((_site(folder, name, path, text) for name, (path, text) in found.items()), None)


def _read(files: ProjectFiles, path: str) -> str | None:
    """Return the text of a settings file, or None if there is no such file.

    Raises FileError if it cannot be read.
    """
    data = files.read(path)
    if data is not None and len(data) > LARGEST:
        raise FileError("which-site", path, f"`{path}` is larger than {LARGEST >> 10} KiB")
    try:
        return None if data is None else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError("which-site", path, f"`{path}` is not UTF-8") from None


def _undecided(found: Mapping[str, str], unclear: Mapping[str, str]) -> UsageError:
    sites = " and ".join(f"{GENERATORS[name].title} (`{path}`)" for name, path in found.items())
    message = f"this folder looks like a site of {sites}"
    if unclear:
        message = f"this folder may be a site, but {' and '.join(unclear.values())}"
    names = dict.fromkeys((*found, *unclear, NO_SITE))
    options = ", ".join(f"`--preset {name}`" for name in names)
    return UsageError(message, code="which-site", hint=f"nothing was written; say which site it is: {options}")


def _site(folder: Path, name: str, path: str, text: str) -> SiteLayout:
    generator = GENERATORS[name]
    stated = generator.reads.search(text) if generator.reads is not None else None
    top = posixpath.normpath(stated[1]) if stated else generator.top
    folders = [posixpath.normpath(f"{top or '.'}/{below}") for below in generator.folders]
    there = [one for one in folders if _is_folder(folder / one)] or _only(folder, generator.only_in)
    place = (there or folders)[0]
    place = "" if place == "." else place
    if place and (problem := check_output(place)):
        message = f"{shown(path)} names {shown(place)} as the folder of its texts, which {problem}"
        hint = f"nothing was written; start the project in another folder, or with `--preset {NO_SITE}`"
        raise UsageError(message, code="which-site", hint=hint)
    return SiteLayout(
        generator=name,
        settings=path,
        output=f"{place}/{generator.file}" if place else generator.file,
        manifests=free_folder(folder, taken=place.partition("/")[0]),
        preset=generator.preset,
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _only(folder: Path, above: str) -> list[str]:
    """Return the only folder inside the folder `above`, or an empty list if there are several folders or none."""
    if not above or not _is_folder(folder / above):
        return []
    names = [one.name for one in (folder / above).iterdir() if _is_folder(one) and not one.name.startswith((".", "_"))]
    return [f"{above}/{name}" for name in names] if len(names) == 1 else []


# ---- The workflows of GitHub that run a project.

_NAME = "contentops"
WORKFLOWS = ("plan", "apply", "manual")
PLACEHOLDER = "OWNER/contentops@0000000000000000000000000000000000000000 # the repository and commit you reviewed"
"""The action of the examples; no runner accepts it."""
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+(/[A-Za-z0-9._/-]+)?@[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z][A-Za-z0-9._/-]*|\.")
"""Words that need no quotes in YAML."""
_GLOB = re.compile(r"[*?+!\[\]\\]")
"""Characters with a special meaning in a path of a workflow."""
_ESCAPED = r"\\\g<0>"


def workflow_files(folder: Path, action: str, *, project: str, environments: Sequence[str]) -> NewFiles:
    """Return the GitHub workflows for the project in `folder`. The folder need not exist yet.

    `action` is `OWNER/REPO@COMMIT` or empty. Raises UsageError if the action is not pinned by a commit, and Refused if
    a workflow exists already.
    """
    if action and not _ACTION.fullmatch(action):
        hint = "name the commit in full: a tag can be moved to other code"
        raise UsageError(f"`{action}` is no `OWNER/REPO@COMMIT`", code="bad-action", hint=hint)
    top, branch = _repository(folder.resolve())
    directory = folder.resolve().relative_to(top).as_posix()
    files = workflows(action=action, directory=directory, branch=branch, project=project, environments=environments)
    file, owners = proposed_line(top, (folder.resolve() / approvals.FILE).relative_to(top).as_posix())
    lines = {file: owners} if owners else {}
    hint = "to add an environment, add its name to `matrix` in each; otherwise remove the files you no longer need"
    return NewFiles(top=top, files=files, lines=lines, branch=branch, hint=hint)


def workflows(
    *, action: str, directory: str, branch: str, project: str = "", environments: Sequence[str] = ()
) -> Mapping[str, str]:
    """Return the texts of a project's GitHub workflows, by path.

    The project is in `directory` of a repository whose results go to `branch`. Each workflow has a job for each of
    `environments`; without environments, it has one job for the default environment.
    """
    name = "-".join(("contentops", *(_plain(part) for part in (directory.strip("."),) if part)))
    paths = json.dumps([f"{_GLOB.sub(_ESCAPED, directory)}/**", f".github/workflows/{name}-*.yml"], ensure_ascii=False)
    chosen = ["environment: ${{ matrix.environment }}"] * bool(environments)
    named = [f"name: {name}"] * (name != _NAME)
    places = [f"directory: {_word(directory)}"] if directory != "." else []
    # With several projects in the repository, the name says whose plan failed.
    about = [f"project: {_word(project)}"] if project and (environments or name != _NAME) else []
    listed = f"    environment: [{', '.join(map(_word, environments))}]"
    values = {
        "@action@": action or PLACEHOLDER,
        "@inputs@": _lines(10, "", *places, *chosen),
        "@named@": _lines(10, "", *named),
        "@comment@": _lines(10, "", *about, *chosen),
        "@suffix@": " (${{ matrix.environment }})" if environments else "",
        "@paths@": "" if directory == "." else _lines(4, "", f"paths: {paths}"),
        "@name@": name,
        "@holder@": holder("${{ matrix.environment }}" if environments else ""),
        "@branch@": _word(branch),
        "@ref@": f"refs/heads/{branch}",
    }
    files = {}
    for kind in WORKFLOWS:
        # An environment may take its texts from the one before it.
        in_turn = [] if kind == "plan" else ["  max-parallel: 1"]
        matrix = _lines(4, "", "strategy:", "  fail-fast: false", *in_turn, "  matrix:", listed) if environments else ""
        files[f".github/workflows/{name}-{kind}.yml"] = _filled(f"ci/{kind}.yml", {**values, "@matrix@": matrix})
    return files


def holder(environment: str) -> str:
    """Return the name of the GitHub environment that stores the API key.

    Each environment of the project has its own GitHub environment.
    """
    return f"{_NAME}-{environment}" if environment else _NAME


def _plain(name: str) -> str:
    """Return `name` with only the characters that GitHub and every file system accept."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or hashlib.sha256(name.encode()).hexdigest()[:8]


def _lines(indent: int, *lines: str) -> str:
    return f"\n{' ' * indent}".join(lines)


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _repository(folder: Path) -> tuple[Path, str]:
    """Return the root folder of the clone, and the branch whose changes CI applies.

    It is the remote's default branch, else the current branch, else `main`.
    """
    nearest = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    top = folder
    with contextlib.suppress(ContentopsError):
        top = Path(run_git(nearest, "rev-parse", "--show-toplevel").strip()).resolve()
        for name in ("refs/remotes/origin/HEAD", "HEAD"):
            branch = try_git(nearest, "symbolic-ref", "--quiet", name).text
            branch = branch.removeprefix("refs/remotes/origin/").removeprefix("refs/heads/")
            if _BRANCH.fullmatch(branch):
                return top, branch
    return top, "main"

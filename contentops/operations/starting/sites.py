"""Find the site generator of a folder by its settings file, and choose where a new project writes its texts.

Nothing of a site is run or parsed: one line of its settings names the folder it reads, and a pattern finds that line.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.documents.paths import check_output, shown
from contentops.errors import UsageError
from contentops.manifests.discover import FileError, ProjectFiles
from contentops.operations.starting.new_files import free_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST: Final = 256 << 10
"""Bytes of the largest settings file that is read."""
NO_SITE: Final = "none"
"""The name for `--preset` of a project that belongs to no site."""


class SiteGenerator(Struct, frozen=True, kw_only=True):
    """A site generator: how its sites are recognised, and where they read texts."""

    title: str
    preset: str = ""
    """Its preset in `contentops.yaml`, or empty."""
    settings: tuple[str, ...]
    """Names of its settings file."""
    sign: re.Pattern[str] = re.compile("")
    """What a settings file with a name that others use too must contain."""
    shared: tuple[str, ...] = ()
    """Such names."""
    reads: re.Pattern[str] | None = None
    """The line of the settings that names the folder it reads."""
    top: str = ""
    """That folder where no line names it; empty: the whole site."""
    folders: tuple[str, ...] = ("",)
    """Folders of texts below it: the first that is there is taken, else the only one of `only_in`, else the first."""
    only_in: str = ""
    file: str = "{{ item.id }}.md"
    drafts: str = ""
    """What keeps drafts out of the site, as a sentence with `{output}` and `{folder}`; empty: the generator does."""
    advice: str = ""
    """What a person has to do, as a sentence with the folders `{output}` and `{manifests}`."""


def _line(key: str, before: str = "") -> re.Pattern[str]:
    """Return a pattern for a line such as `key: docs`, `key = "docs"` or `"key": "docs",`."""
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
"""By the name that `init --preset` takes."""


class SiteLayout(Struct, frozen=True, kw_only=True):
    """Where the texts and manifests of a project in a site go."""

    generator: str
    """Its name in `GENERATORS`."""
    settings: str = ""
    """The settings file that it was recognised by; empty: a person named the generator, and there is none to read."""
    output: str
    """The template of output paths."""
    manifests: str
    """The folder of manifests."""

    @property
    def title(self) -> str:
        """The generator's name as it is written."""
        return GENERATORS[self.generator].title

    @property
    def preset(self) -> str:
        """The preset in `contentops.yaml`, or empty."""
        return GENERATORS[self.generator].preset

    @property
    def folder(self) -> str:
        """The folder of texts, with a slash at its end; empty for the site itself."""
        return self.output.rpartition("/")[0] + "/" if "/" in self.output else ""

    @property
    def drafts(self) -> str:
        """What keeps drafts out of the site; empty: its generator does."""
        return self._filled(GENERATORS[self.generator].drafts)

    @property
    def advice(self) -> str:
        """What a person has to do in the site; empty: nothing."""
        return self._filled(GENERATORS[self.generator].advice)

    def _filled(self, sentence: str) -> str:
        name = self.folder.rstrip("/").rpartition("/")[2]
        return sentence.format(output=self.folder, folder=name, manifests=self.manifests)


def find_site(folder: Path, chosen: str = "") -> SiteLayout | None:
    """Return the site in `folder`, which may not exist, with the generator `chosen` or the one it is recognised by.

    Raises UsageError where it may be one of several sites, where a settings file cannot be read, and where the folder
    of its texts cannot have outputs.
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
    """Return the text of a settings file, None where there is none. Raises FileError for one that cannot be read."""
    data = files.read(path)
    if data is None or len(data) > LARGEST:
        if data is None:
            return None
        raise FileError("which-site", path, f"`{path}` is larger than {LARGEST >> 10} KiB")
    try:
        return data.decode("utf-8-sig")
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
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _only(folder: Path, above: str) -> list[str]:
    """Return the only folder in `above`; nothing where there are several or none."""
    if not above or not _is_folder(folder / above):
        return []
    names = [one.name for one in (folder / above).iterdir() if _is_folder(one) and not one.name.startswith((".", "_"))]
    return [f"{above}/{name}" for name in names] if len(names) == 1 else []

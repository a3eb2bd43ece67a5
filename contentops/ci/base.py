"""Compares the settings that decide what is paid, and to whom, with the base of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.ci.git import file_at, run_git
from contentops.ci.results import words_in
from contentops.digest import NOTHING
from contentops.errors import ContentopsError, plural
from contentops.manifests.project import checked_settings
from contentops.model import PROJECT_FILE, Note
from contentops.reporting.summary import SETTINGS
from contentops.sanitize import short_pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.model import Json, Project

_AREAS = ("api", "ledger", "budget", "price", "guards", "default_environment", "environments")
_SHOWN = 10
"""Settings of one area that are listed."""
_WIDTH = 100


def base_commit(root: str, environ: Mapping[str, str]) -> str:
    """Return the commit that a pull request is compared with; empty where this is none.

    On GitHub the first parent of the merge that a runner checks out, on GitLab the commit that it names. Raises
    GitFailed where the clone does not have it, UsageError outside a clone.
    """
    if environ.get("GITHUB_BASE_REF"):
        run_git(root, "rev-parse", "--verify", "--quiet", "HEAD^2")
        return "HEAD^1"
    if stated := environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""):
        run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{stated}^{{commit}}")
    return stated


def settings_notes(project: Project, environ: Mapping[str, str]) -> tuple[Note, ...]:
    """Return notes on settings that differ from the base of the pull request, or one on why that is not known."""
    try:
        base = base_commit(project.root, environ)
        data = file_at(project.root, base, PROJECT_FILE) if base else None
        before = checked_settings(data).root if data is not None else {}
    except ContentopsError as error:
        why = error.diagnostics()[0].message
        hint = "check out the base too (`fetch-depth: 2`), and compare the file by hand"
        return (Note(kind=SETTINGS, message=f"`{PROJECT_FILE}` was not compared with the base: {why}", hint=hint),)
    if not base:
        return ()
    if data is None:
        return (Note(kind=SETTINGS, message=f"`{PROJECT_FILE}` is not in the base: every setting is new"),)
    messages = (message for area in _AREAS for message in _changes(area, before, project.settings))
    return tuple(Note(kind=SETTINGS, message=message) for message in messages)


def changed_texts(root: str, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the paths below `root` of the files whose words a pull request changes; none where its base is not known.

    As `approve --merged` records them: not those of which only the front matter changes, or the path.
    """
    options = ("--name-only", "--no-renames", "--no-ext-diff", "--relative", "-z")
    try:
        base = base_commit(root, environ)
        paths = [path for path in run_git(root, "diff", *options, base, "HEAD").split("\0") if path] if base else []
        old, new = (
            {name.partition(":./")[2]: words for name, words in words_in(root, names).items()}
            for names in ([f"{commit}:./{path}" for path in paths if "\n" not in path] for commit in (base, "HEAD"))
        )
    except ContentopsError:
        # `settings_notes` says why.
        return frozenset()
    before = set(old.values())
    return frozenset(path for path, words in new.items() if words not in before and old.get(path) != NOTHING)


def _changes(area: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    old, new = dict(_leaves(area, before.get(area))), dict(_leaves(area, after.get(area)))
    changed = [path for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
    # What decides where the key or a password goes comes first.
    changed.sort(key=lambda path: not (".api." in path or path.endswith(".ledger")))
    for path in changed[:_SHOWN]:
        was, now = short_pair(old.get(path), new.get(path), _WIDTH)
        yield f"`{path}` changes from {_quoted(was, old, path)} to {_quoted(now, new, path)}"
    if len(changed) > _SHOWN:
        yield f"`{area}` changes {plural(len(changed) - _SHOWN, 'more setting')}"


def _quoted(value: str, side: Mapping[str, Json], path: str) -> str:
    return f"`{value.replace('`', chr(39))}`" if path in side else "nothing"


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Yield the settings below a key that are no maps, by their dotted names; an empty map counts as a setting."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(f"{path}.{key}", each)
    elif value is not None:
        yield path, value

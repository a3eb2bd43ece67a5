"""Whom the `CODEOWNERS` of a repository names for a file, as GitHub, GitLab and Forgejo read it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contentops.ci.git import GitFailed, try_git
from contentops.manifests.discover import glob_matcher

_GITHUB_FOLDERS: Final = (".github", "", "docs")
_COMPLETE: Final = "# Who may say which texts are approved: replace @OWNER by people or a team, and take the # away."
_FOLDERS: Final = (".github", ".gitlab", ".forgejo", ".gitea", "", "docs")


def owners_of(root: str, path: str) -> tuple[str, ...] | None:
    """The owners of a path below `root`; None outside a repository."""
    try:
        said = try_git(root, "rev-parse", "--show-toplevel", "--show-prefix")
    except GitFailed:
        return None
    top, _, prefix = said.text.partition("\n")
    if said.code or not top:
        return None
    for folder in _FOLDERS:
        try:
            text = Path(top, folder, "CODEOWNERS").read_text("utf-8", errors="replace")
        except OSError:
            continue
        return owners_in(text, prefix.strip() + path)
    return ()


def proposed_line(top: Path, path: str) -> tuple[str, tuple[str, ...]]:
    """Return the file in which GitHub looks for owners, and lines for it that someone has to complete.

    No lines where it has one for `path` (in the repository at `top`), also one that is commented out.
    """
    files = (f"{folder}/CODEOWNERS".removeprefix("/") for folder in _GITHUB_FOLDERS)
    file = next((file for file in files if (top / file).is_file()), f"{_GITHUB_FOLDERS[0]}/CODEOWNERS")
    try:
        text = (top / file).read_text("utf-8", errors="replace")
    except OSError:
        text = ""
    pattern = "/" + path.replace(" ", r"\ ")
    if owners_in(text, path) or pattern in text:
        return file, ()
    return file, (_COMPLETE, f"# {pattern} @OWNER")


def owners_in(text: str, path: str) -> tuple[str, ...]:
    """The owners that the text of a `CODEOWNERS` names for a path in the repository; of several lines the last one."""
    owners: tuple[str, ...] = ()
    of_section: tuple[str, ...] = ()
    for line in text.splitlines():
        pattern, *names = line.partition("#")[0].split() or [""]
        if pattern.startswith(("[", "^[")):
            # GitLab: a section, whose owners are those of its lines without any.
            of_section = tuple(line.rpartition("]")[2].split())
        elif pattern and _matches(pattern, path):
            owners = tuple(names) or of_section
    return owners


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern names a path or a folder that it is in; one without an inner `/` does so at any depth."""
    inner = pattern.rstrip("/")
    test = glob_matcher(inner.removeprefix("/") if "/" in inner else f"**/{inner}")
    parts = path.split("/")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + (not pattern.endswith("/")))]
    return any(map(test, places))

"""Where this contentops was installed from: its commit on GitHub, and what an installer takes."""

from __future__ import annotations

import json
import re
from importlib import metadata
from typing import Any
from urllib.parse import unquote, urlsplit

from contentops.ci.git import run_git
from contentops.errors import ContentopsError

_GITHUB = re.compile(
    r"(?:https://(?:[^@/\s]*@)?|ssh://git@|git@)github\.com[:/]"
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+?)(?:\.git)?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def installed_action() -> str:
    """Return the action of this contentops as `OWNER/REPO@COMMIT`; empty where that is not known."""
    return action_from(_note())


def with_extra(extra: str, package: str, note: str | None = None) -> str:
    """Return what to give an installer for an extra: `contentops[serve] @ git+https://...`.

    Where this contentops came from no address, the package of the extra: anyone may have the name on an index.
    `note`: another one than that of this installation.
    """
    source = _source_from(_note() if note is None else note)
    return f"contentops[{extra}]{source}" if source else package


def _source_from(direct_url: str) -> str:
    """Return ` @ ` and the address that a `direct_url.json` names, without a password; empty where it names none."""
    try:
        about: Any = json.loads(direct_url)
        parts = urlsplit(str(about["url"]))
        kind = f"{about['vcs_info']['vcs']}+" if "vcs_info" in about else ""
    except (ValueError, KeyError, TypeError):
        return ""
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""  # of HTTPS it may be a token
    return f" @ {kind}{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else ""


def _note() -> str:
    """The note that an installer leaves (PEP 610); empty where it left none."""
    try:
        return metadata.distribution("contentops").read_text("direct_url.json") or ""
    except metadata.PackageNotFoundError:
        return ""


def action_from(direct_url: str) -> str:
    """Return the action that a `direct_url.json` of an installer names (PEP 610); empty where it names none.

    An editable installation has the commit of its clone, if `origin` has that commit too.
    """
    try:
        about: Any = json.loads(direct_url)
        url = str(about["url"])
        if "vcs_info" in about:
            return _action(url, str(about["vcs_info"]["commit_id"]))
        if about["dir_info"].get("editable"):
            return _action_of_clone(unquote(urlsplit(url).path))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return ""


def _action_of_clone(folder: str) -> str:
    try:
        commit = run_git(folder, "rev-parse", "HEAD").strip()
        if not run_git(folder, "for-each-ref", f"--contains={commit}", "--count=1", "refs/remotes/origin"):
            return ""
        return _action(run_git(folder, "remote", "get-url", "origin").strip(), commit)
    except (ContentopsError, OSError):
        return ""


def _action(url: str, commit: str) -> str:
    found = _GITHUB.fullmatch(url)
    return f"{found['name']}@{commit}" if found and _COMMIT.fullmatch(commit) else ""

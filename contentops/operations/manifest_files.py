"""Read and write manifests for a program that is trusted with nothing else in the project."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING, Digest, digest_bytes
from contentops.documents.files import Outputs
from contentops.documents.paths import check_output, collision_key, is_own, shown, split_path
from contentops.errors import Diagnostic, FileChanged, OutputError
from contentops.manifests.discover import glob_matcher
from contentops.model import PROJECT_FILE
from contentops.operations.opening import HERE
from contentops.operations.workspace import validate

if TYPE_CHECKING:
    from contentops.model import Project
    from contentops.operations.opening import Runtime

_ENDINGS = (".yaml", ".yml")


class WrittenManifest(Struct, frozen=True, kw_only=True):
    """A manifest that was written: its digest, and the warnings and notes of all manifests with it."""

    digest: Digest
    findings: tuple[Diagnostic, ...] = ()


def read_manifest(project: Project, path: str) -> tuple[str, Digest]:
    """Return the text of a manifest and its digest. Raises OutputError for anything else, FileChanged for no file."""
    _check_path(project, path)
    text = Outputs(project.root).read(path)
    return text, digest_bytes(text.encode())


def write_manifest(project: Project, path: str, text: str, expect: str, runtime: Runtime = HERE) -> WrittenManifest:
    """Write a manifest that is valid together with all others, over the one whose digest is `expect`; empty: none.

    Raises OutputError for a path that is no manifest, InputError while any manifest has errors with it, and FileChanged
    where the file has another digest by now.
    """
    _check_path(project, path)
    outputs = Outputs(project.root, system=runtime.system)
    if _digest_now(outputs, path) != expect:
        hint = "`read_manifest` returns its text and digest" if not expect else "read it again, and change that text"
        raise FileChanged(f"{shown(path)} is another file than the one that was read; it stays as it is", hint=hint)
    desired = validate(project, runtime, drafts={path: text.encode()})
    if path not in desired.manifests:
        raise _refused(path, "manifests name it as data")
    return WrittenManifest(digest=outputs.write(path, text, expect=Digest(expect)), findings=desired.findings)


def _digest_now(outputs: Outputs, path: str) -> Digest:
    try:
        return digest_bytes(outputs.read(path).encode())
    except FileChanged:
        return NOTHING


def _check_path(project: Project, path: str) -> None:
    """Raise OutputError for a path that is not one of a manifest below the root."""
    split_path(path)
    if problem := check_output(path):
        raise _refused(path, f"it {problem}")
    is_macros = path == posixpath.normpath(project.macros)
    if is_macros or is_own(path) or collision_key(path).rpartition("/")[2] == PROJECT_FILE:
        raise _refused(path, "contentops keeps its own things there")
    if not path.endswith(_ENDINGS) or not any(glob_matcher(one.removeprefix("./"))(path) for one in project.manifests):
        raise _refused(
            path, f"no glob of `manifests` with `.yaml` or `.yml` matches it ({', '.join(project.manifests)})"
        )


def _refused(path: str, why: str) -> OutputError:
    hint = "choose the path of a manifest; a person changes other files"
    return OutputError(f"{shown(path)} is no manifest: {why}", code="not-a-manifest", hint=hint)

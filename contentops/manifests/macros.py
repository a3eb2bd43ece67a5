"""The project's one file of shared macros: read with every load, compiled when the first template needs it."""

from __future__ import annotations

import functools
import posixpath
from typing import TYPE_CHECKING

from contentops.digest import NOTHING, digest_bytes
from contentops.manifests.expand import RESERVED
from contentops.manifests.files import FileError
from contentops.manifests.layers import Written
from contentops.manifests.places import Document, Source, finding
from contentops.manifests.read import decode
from contentops.manifests.values import TemplateError

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.errors import Diagnostic
    from contentops.manifests.compiled import Macros
    from contentops.manifests.files import ProjectFiles
    from contentops.model import Project


class MacroFile:
    """A file of macros as read; `path` is relative to the project root, `digest` empty where there is none."""

    def __init__(self, project: Project, settings: Source, files: ProjectFiles) -> None:
        self.path = posixpath.normpath(project.macros)
        self.digest: Digest = NOTHING
        self.findings: list[Diagnostic] = []
        """Why it cannot be read."""
        self._source = Source(self.path, "")
        self._taken = RESERVED | project.vars.keys() | project.environment_vars.keys() | project.cli_vars.keys()
        try:
            content = files.read(self.path)
        except FileError as error:
            self.findings.append(error.finding)
            return
        if content is None:
            message = f"`macros` names `{project.macros[:200]}`, which is not there"
            at = Document(settings, project.settings)
            hint = "the path is relative to the project root"
            self.findings.append(finding(at, "no-macros", message, ("macros",), hint=hint))
            return
        self.digest = digest_bytes(content)
        self._source, self.findings = decode(self.path, content)

    @property
    def macros(self) -> Macros | None:
        """The macros; None where they cannot be used."""
        return self._compiled[0]

    @property
    def problems(self) -> list[Diagnostic]:
        """What is wrong with what it holds."""
        return self._compiled[1]

    def written(self) -> Written:
        """The whole file as a value, for findings inside it."""
        return Written(self._source.text, "macros", Document(self._source, self._source.text))

    @functools.cached_property
    def _compiled(self) -> tuple[Macros | None, list[Diagnostic]]:
        from contentops.manifests.compiled import Macros  # start-up: a plan from the cache needs no Jinja

        if self.findings:
            return None, []
        try:
            return Macros(self._source.text, self._taken), []
        except TemplateError as error:
            document = Document(self._source, self._source.text)
            message = f"the macros cannot be used: {error.message}"
            return None, [finding(document, error.code, message, hint=error.hint, offset=error.offset)]

"""The project's one file of shared macros: read with every load, compiled when the first template needs it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from contentops.manifests.layers import RESERVED, Written
from contentops.manifests.values import TemplateError
from contentops.yaml.positions import YamlDocument, finding
from contentops.yaml.read import decode

if TYPE_CHECKING:
    from contentops.errors import Diagnostic
    from contentops.manifests.compiled import Macros
    from contentops.manifests.data import DataFile
    from contentops.model import Project
    from contentops.yaml.positions import Source


class MacroFile:
    """A file of macros as read; `settings` is the text of the project file, which names it."""

    def __init__(self, project: Project, settings: Source, data: DataFile) -> None:
        self.path = data.path
        self.digest = data.digest
        self._taken = RESERVED | project.vars.keys() | project.environment_vars.keys() | project.cli_vars.keys()
        source, self.unread = decode(data.path, data.content)
        self._document = YamlDocument(source, source.text)
        if data.problem:
            self.unread = [data.problem]
        elif not data.digest:
            message = f"`macros` names `{project.macros[:200]}`, which does not exist"
            hint = "the path is relative to the project root"
            named = YamlDocument(settings, project.settings)
            self.unread = [finding(named, "no-macros", message, ("macros",), hint=hint)]

    @property
    def macros(self) -> Macros | None:
        """The macros; None where they cannot be used."""
        return self._compiled[0]

    @property
    def problems(self) -> list[Diagnostic]:
        """What is wrong with what the file holds; `unread` says why it cannot be read."""
        return self._compiled[1]

    def written(self) -> Written:
        """The whole file as a value, for findings inside it."""
        return Written(self._document.root, "macros", self._document)

    @functools.cached_property
    def _compiled(self) -> tuple[Macros | None, list[Diagnostic]]:
        from contentops.manifests.compiled import Macros  # start-up: a plan from the cache needs no Jinja

        if self.unread:
            return None, []
        try:
            return Macros(self._document.source.text, self._taken), []
        except TemplateError as error:
            message = f"the macros cannot be used: {error.message}"
            return None, [finding(self._document, error.code, message, hint=error.hint, offset=error.offset)]

"""Texts that cost nothing: those of another environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NO_TEXT, NOTHING
from contentops.model import BASE, Promote, text_digest
from contentops.planning.differences import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentops.digest import Digest
    from contentops.model import Desired, ItemId, Observed, OpenEntry, Record, Spec, State


class SourceText(Struct, frozen=True, kw_only=True):
    """A text of another environment for the declared request."""

    environment: str
    """Empty: the settings without an environment."""
    record: Record
    file: Observed
    made_by: OpenEntry | None
    """The job that made it; None: not known."""

    @property
    def name(self) -> str:
        """The name of the environment, `default` without one."""
        return self.environment or BASE

    @property
    def step(self) -> Promote:
        """The step that promotes it."""
        return Promote(
            environment=self.environment,
            path=self.file.path,
            expects=self.file.file,
            body=self.file.body,
            generated=self.record.generated,
            generated_at=self.made_by.generated_at if self.made_by is not None else "",
            outline=is_outline(self.record, self.file),
            model=self.made_by.model if self.made_by is not None else "",
        )


class SourceEnvironment(Struct, frozen=True, kw_only=True):
    """The environment that texts are promoted from."""

    environment: str
    """Empty: the settings without an environment."""
    state: State
    """Its records, and the jobs of all environments."""

    def paths(self, desired: Desired) -> Iterator[str]:
        """The paths of the texts that may be promoted."""
        for spec in desired.specs:
            record = self.state.records.get(spec.id)
            if record is not None and (record.digest == spec.digest or record.frame in _frames(spec)):
                yield record.output
                yield from (
                    self.state.records[one.id].output for one in spec.references if one.id in self.state.records
                )

    def source_text(self, spec: Spec, observe: Callable[[str], Observed], *, drafts: bool = False) -> SourceText | None:
        """Its usable text for the request of `spec`; with `drafts`, an outline is usable too."""
        text = self._text(spec, observe)
        return None if text is None or (text.step.outline and not drafts) else text

    def outline(self, spec: Spec, observe: Callable[[str], Observed]) -> SourceText | None:
        """Its text for the request of `spec`, if that is a draft outline."""
        text = self._text(spec, observe)
        return text if text is not None and text.step.outline else None

    def _text(self, spec: Spec, observe: Callable[[str], Observed]) -> SourceText | None:
        record = self.state.records.get(spec.id)
        if record is None or not self._answers(record, spec, observe):
            return None
        file = observe(record.output)
        if not file.exists or file.problem or file.body == NO_TEXT:
            return None
        made_by = self.state.made_by(record)
        return SourceText(environment=self.environment, record=record, file=file, made_by=made_by)

    def _answers(self, record: Record, spec: Spec, observe: Callable[[str], Observed]) -> bool:
        """Whether a record's text is for the declared request, or for the same frame and the words of the same texts.

        Paths and addresses of texts differ between environments.
        """
        if record.digest == spec.digest:
            return True
        if record.frame not in _frames(spec):
            return False
        # Both were made from the same words, or both are stale in the same way.
        return all(
            bool(one.text) and one.text in (record.sources.get(one.id), self._words(one.id, observe))
            for one in spec.references
        )

    def _words(self, id_: ItemId, observe: Callable[[str], Observed]) -> Digest:
        """The words that an item has in this environment now; empty: none."""
        record = self.state.records.get(id_)
        file = observe(record.output) if record is not None else None
        return NOTHING if file is None or not file.exists else text_digest(file.title, file.body)

    def why_none(self, spec: Spec, observe: Callable[[str], Observed]) -> str:
        """Why it has no usable text for `spec`, in words."""
        name = f"`{self.environment or BASE}`"
        record = self.state.records.get(spec.id)
        if record is None:
            return f"{name} has no text for it"
        if not self._answers(record, spec, observe):
            fields = [f"`{reason.field}`" for reason in explain(spec, record)]
            verb = "differs" if len(fields) == 1 else "differ"
            return f"{name} has the text of another request: {', '.join(fields)} {verb}"
        file = observe(record.output)
        lost = "is empty now" if file.exists else "does not exist"
        return file.problem or f"`{record.output}`, the text that {name} has, {lost}"


def _frames(spec: Spec) -> frozenset[Digest]:
    return frozenset({spec.frame, spec.earlier_frame} - {NOTHING})


def is_outline(record: Record, file: Observed) -> bool:
    """Whether the text of a file is still a draft outline.

    In a text of another server that did not name it an outline, the label is a quotation.
    """
    return file.labelled and (record.outline or not record.request_id)

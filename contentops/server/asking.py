"""What submits and saves ask for, read from bodies in every dialect the service has had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.server.contents import Text
from contentops.server.reading import Fields, is_identifier
from contentops.server.refusal import Refusal, Surface
from contentops.server.submission import CREDITS, Submission

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODES = tuple(CREDITS)


def generation(
    body: dict[str, Any], where: Surface, templates: Mapping[str, Any], styles: Mapping[str, Any]
) -> tuple[Submission, str | None]:
    """A submit and the client's request id, if it gave one. Raises Refusal.

    Missing inputs are no reason to refuse: as on the service, the job fails later. Unknown keys are ignored.
    """
    fields = Fields(body, where)
    documented = where is Surface.V1
    template = fields.text("template_id", "template", required=documented)
    style = fields.text("style_profile_id", "style_profile", required=documented)
    inputs = fields.mapping("inputs", "user_input", "dynamic_parameters")
    mode = fields.choice("generation_mode", _MODES, "standard")
    vertical = fields.text("vertical", "vertical_id")
    brand_voice = fields.text("brand_voice_id")
    request_id = fields.identifier("request_id")
    fields.done()
    _known(where, "Template", template, templates)
    _known(where, "Style profile", style, styles)
    submission = Submission(
        template=template or "",
        style=style or "",
        mode=mode,
        inputs=inputs or {},
        vertical=vertical or None,
        brand_voice=brand_voice or None,
    )
    return submission, request_id


def _known(where: Surface, what: str, slug: str | None, known: Mapping[str, Any]) -> None:
    if slug in known:
        return
    if where is Surface.API:
        # What the service's own server answers, also where the slug is missing altogether.
        raise Refusal(500, f"Internal server error: {what} '{slug}' not found.")
    raise Refusal(404, f"{what} '{slug}' not found.")


def section(body: dict[str, Any], where: Surface) -> tuple[Submission, str | None]:
    """A section to write anew, and the client's request id. Raises Refusal.

    No source documents this call, so its form is this server's own: `content_id`, `section` (the heading's text),
    `instructions` and `generation_mode`; the answer is a job like that of a submit.
    """
    fields = Fields(body, where)
    content_id = fields.identifier("content_id", "contentId", "id", required=True)
    heading = fields.text("section", "heading", required=True)
    instructions = fields.text("instructions")
    mode = fields.choice("generation_mode", _MODES, "standard")
    request_id = fields.identifier("request_id")
    fields.done()
    submission = Submission(
        kind="section", mode=mode, content_id=content_id or "", section=heading or "", instructions=instructions or ""
    )
    return submission, request_id


def saving(body: dict[str, Any], where: Surface) -> Text:
    """A text to store; with `id`, `content_id` or `contentId` one to update. Raises Refusal."""
    fields = Fields(body, where)
    content_id = fields.text("id", "content_id", "contentId")
    text = _text(fields, kind=fields.text("type"))
    if content_id is not None and not is_identifier(content_id):
        raise Refusal(404, "Content not found")
    return Text(
        id=content_id or "",
        title=text.title,
        body=text.body,
        html=text.html,
        status=text.status,
        type=text.type,
        metadata=text.metadata,
    )


def update(body: dict[str, Any], where: Surface, content_id: str) -> Text:
    """The fields to change in a stored text; its type stays. Raises Refusal."""
    text = _text(Fields(body, where), kind=None)
    return Text(
        id=content_id, title=text.title, body=text.body, html=text.html, status=text.status, metadata=text.metadata
    )


def _text(fields: Fields, *, kind: str | None) -> Text:
    text = Text(
        title=fields.text("title"),
        body=fields.text("content"),
        html=fields.text("contentHtml"),
        status=fields.text("status"),
        type=kind,
        metadata=fields.mapping("metadata"),
    )
    fields.done()
    return text

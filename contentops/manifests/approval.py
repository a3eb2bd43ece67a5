"""Reads the `approval` of a rendered item.

What the JSON Schema of manifests refuses is reported there; here is what templates give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentops.errors import nearest
from contentops.manifests.values import kind_of
from contentops.model import NO_APPROVAL, ApprovalRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.manifests.problems import Report
    from contentops.model import Json

_SWITCH: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("required", "true", "yes", "on"), True),
    **dict.fromkeys(("off", "false", "no"), False),
}
"""The words of a person or a column for yes and no."""


def read_approval(value: Json, report: Report) -> ApprovalRule:
    """The rule of a rendered item; a key that cannot be used is reported and omitted."""
    if not isinstance(value, dict) or not value:
        return NO_APPROVAL
    said = {key: _switch(key, value[key], report) for key in ("required", "publish") if key in value}
    # Without `required` the other key has nothing to say, so that `off` takes it away.
    if not said.get("required"):
        return NO_APPROVAL
    return ApprovalRule(**{key: flag for key, flag in said.items() if flag is not None})


def _switch(key: str, value: Any, report: Report) -> bool | None:
    """A yes or no; None for a value that is reported."""
    if isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word in _SWITCH and (key == "required" or word != "required"):
        return _SWITCH[word]
    name = "approval" if key == "required" else f"approval.{key}"
    words = "`required` or `off`" if key == "required" else "`true` or `false`"
    if word:
        close = nearest(word, _SWITCH)
        hint = f"did you mean `{close}`?" if close and key == "required" else f"write {words}"
        report(("approval", key), "wrong-value", f"has `{value[:60]}` as `{name}`", hint=hint)
        return None
    shown = "an empty text" if isinstance(value, str) else kind_of(value)
    hint = 'state a value for empty cells: `{{ each.column or "off" }}`' if isinstance(value, str) else ""
    report(("approval", key), "wrong-type", f"has {shown} as `{name}`, which takes {words}", hint=hint)
    return None

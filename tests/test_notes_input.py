"""One input that is written into a manifest in place: everything else of the file stays as a person wrote it."""

import pytest

from contentops.errors import UsageError
from contentops.manifests.declare import with_input

VALUE = 'Shorter: "no" {{ x }}\nKinder'
WRITTEN = r'''notes: "Shorter: \"no\" {{ '{{' }} x }}\nKinder"'''
BLOCK = """\
# Ours
items:
  - id: one  # the first
    inputs:
      # What it is about
      topic: A   # stays
  - {id: two, inputs: {topic: B}}  # flow
"""


@pytest.mark.parametrize(("before", "item", "after"), [
    (BLOCK, "one", BLOCK.replace("      topic: A", f"      {WRITTEN}\n      topic: A")),
    (BLOCK.replace("\n", "\r\n"), "one", BLOCK.replace("      topic: A", f"      {WRITTEN}\n      topic: A").replace("\n", "\r\n")),
    (BLOCK, "two", BLOCK.replace("{topic: B", f"{{{WRITTEN}, topic: B")),
    ("items:\n- id: one\n  inputs:\n    topic: A\n    notes: |\n      Longer.\n\n      More.\n\n  mode: deep # x\n", "one",
     f"items:\n- id: one\n  inputs:\n    topic: A\n    {WRITTEN}\n\n  mode: deep # x\n"),
    ("items: [{id: one, inputs: {notes: 'it''s', topic: A}}]", "one", f"items: [{{id: one, inputs: {{{WRITTEN}, topic: A}}}}]"),
    ("items:\n- id: one\n  inputs: {topic: A, notes: }\n", "one", f"items:\n- id: one\n  inputs: {{topic: A, {WRITTEN} }}\n"),
    ("items:\n- id: one\n  inputs:\n    notes:   # none yet\n    topic: A\n", "one",
     f"items:\n- id: one\n  inputs:\n    {WRITTEN}   # none yet\n    topic: A\n"),
], ids=["block", "crlf", "flow", "block scalar", "quoted", "empty in flow", "empty in block"])  # fmt: skip
def test_an_input_is_written_and_all_else_stays(before: str, item: str, after: str) -> None:
    """Comments, order and line ends too; words that look like a template stay words."""
    assert with_input("content/a.yaml", before, item, "notes", VALUE) == after


@pytest.mark.parametrize(("text", "item", "said"), [
    ("items:\n- id: '{{ each.name }}'\n  for_each: [{name: one}]\n  inputs: {topic: A}\n", "one", "is not one entry"),
    ("items:\n- id: one\n  template: x\n", "one", "cannot be written"),
    ("items:\n- id: one\n  inputs: {}\n", "one", "cannot be written"),
    ("items:\n- {id: two, inputs: &a {topic: A}}\n- id: one\n  inputs: *a\n", "one", "cannot be written"),
    ("items:\n- id: one\n  inputs:\n    topic: A\n    notes: [B, C]\n", "one", "cannot be written"),
], ids=["for_each", "no inputs", "empty", "alias", "a list"])  # fmt: skip
def test_what_cannot_be_changed_in_place_is_refused(text: str, item: str, said: str) -> None:
    """By name, with what to do."""
    with pytest.raises(UsageError, match=said) as refused:
        with_input("content/a.yaml", text, item, "notes", VALUE)
    assert "notes" in refused.value.hint

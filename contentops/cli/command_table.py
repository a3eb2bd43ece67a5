"""The commands: the name, the help line, the group and the module of each, in the order of the help."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommandGroup(StrEnum):
    """The headings of `contentops --help`."""

    FIRST = "Commands"
    WRITE = "Write and check"
    ADOPT = "Adopt existing texts"
    CI = "Run in CI"
    ACCOUNT = "Account and spend"
    LEDGER = "Shared ledger"
    MORE = "More"


class CommandEntry(Struct, frozen=True):
    """A command."""

    name: str
    line: str
    """What it does, in one line of the help."""
    group: CommandGroup | None
    """Its heading in the help; None: it is not listed."""
    source: str
    """Its module in `contentops.cli.commands` and its name there, `MODULE.NAME`."""


_FIRST, _WRITE, _ADOPT, _CI = CommandGroup.FIRST, CommandGroup.WRITE, CommandGroup.ADOPT, CommandGroup.CI
_ACCOUNT, _LEDGER, _MORE = CommandGroup.ACCOUNT, CommandGroup.LEDGER, CommandGroup.MORE
_ENTRIES: Final = (
    CommandEntry("init", "Start a project in this folder.", _FIRST, "init.command"),
    CommandEntry("plan", "Show what apply would do, why, and what it costs.", _FIRST, "plan.command"),
    CommandEntry("apply", "Do what the plan says: generate, write and save texts.", _FIRST, "apply.command"),
    CommandEntry("status", "Show the state of every item.", _FIRST, "items.status"),
    CommandEntry("diff", "Compare an item's file with another version of its text.", _FIRST, "items.diff"),
    CommandEntry("review", "Read, approve and edit texts in a browser.", _FIRST, "review.command"),
    CommandEntry("validate", "Check every manifest; needs no network.", _WRITE, "check.validate"),
    CommandEntry("check", "Run the checks on existing texts.", _WRITE, "check.check"),
    CommandEntry("show", "Show the brief and the request of an item, or a plan file.", _WRITE, "items.show"),
    CommandEntry("graph", "Show which items use the texts of other items.", _WRITE, "graph.command"),
    CommandEntry("restore", "Put an earlier text back into an item's file.", _WRITE, "items.restore"),
    CommandEntry("regenerate", "Generate one section of an item again.", _WRITE, "apply.regenerate"),
    CommandEntry("approve", "Approve texts that you have read.", _WRITE, "approving.approve"),
    CommandEntry("send-back", "Send texts back, with what is to change.", _WRITE, "approving.send_back"),
    CommandEntry("promote", "Take reviewed texts from one environment to another.", _WRITE, "adopt.promote"),
    CommandEntry("adopt", "Manage existing files without changing them.", _ADOPT, "adopt.command"),
    CommandEntry("import", "Manage texts on the server without changing them.", _ADOPT, "adopt.import_contents"),
    CommandEntry("pull", "Write edits made in WriterzRoom into files.", _ADOPT, "account.pull"),
    CommandEntry("comment", "Put a plan on its pull request.", _CI, "github.comment"),
    CommandEntry("commit", "Commit and push the results of applies.", _CI, "commit.command"),
    CommandEntry("catalog", "List templates, styles, verticals, brand voices.", _ACCOUNT, "catalog.command"),
    CommandEntry("content", "List, print and delete what the account has stored.", _ACCOUNT, "account.content"),
    CommandEntry("stats", "Show the account's numbers.", _ACCOUNT, "account.stats"),
    CommandEntry("report", "Show what was spent, by which runs, and each text's source.", _ACCOUNT, "report.report"),
    CommandEntry("ledger", "Look at the shared ledger, or create its tables.", _LEDGER, "ledger.command"),
    CommandEntry("state", "Inspect and repair the recorded state.", _MORE, "state.command"),
    CommandEntry("schema", "Print the JSON Schema of a format.", _MORE, "init.schema"),
    CommandEntry("doctor", "Check that everything needed is in place.", _MORE, "check.doctor"),
    CommandEntry("serve", "Run the bundled server for other programs.", _MORE, "serve.command"),
    CommandEntry("mcp", "Let an agent write manifests and plan; it cannot apply.", _MORE, "mcp.command"),
    CommandEntry("completion", "Print the completion script of a shell.", _MORE, "completion.command"),
    # For the action.
    CommandEntry("find-plan", "Find the plan that was reviewed with a pull request.", None, "github.find_plan"),
)
COMMANDS: Final[Mapping[str, CommandEntry]] = MappingProxyType({one.name: one for one in _ENTRIES})
"""Every command by its name, in the order of the help."""

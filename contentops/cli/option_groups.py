"""Options in groups: the help of a long command shows those that people use, and `--help --all` the others too."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ALL: Final = "--all"
"""Beside `--help`: show every option."""
_SHOWS_ALL: Final = f"{__name__}.all"
"""The key in `Context.meta`."""


class OptionGroup(StrEnum):
    """The headings of the help of a long command."""

    SELECT = "What to select"
    SPEND = "What to spend"
    SHOW = "How to show it"


class GroupedOption(click.Option):
    """An option that the help of a long command shows under a heading, without `--all` too."""

    def __init__(self, names: list[str], *, group: OptionGroup, **given: Any) -> None:
        super().__init__(names, **given)
        self.group = group


def show_all(context: click.Context) -> None:
    """Let the help that is made of this context show every option."""
    context.meta[_SHOWS_ALL] = True


class LongCommand(click.Command):
    """A command with many options. Its help shows the grouped ones; `--help --all` also shows the others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `--all` is an option of `--help` alone."""
        if ALL in args and any(name in args for name in ctx.help_option_names):
            show_all(ctx)
            args = [one for one in args if one != ALL]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group, and then the others or how to see them."""
        shown: dict[str, list[tuple[str, str]]] = {group: [] for group in OptionGroup}
        others: list[tuple[str, str]] = []
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx) if isinstance(one, click.Option) else None
            if record is not None:
                (shown[one.group] if isinstance(one, GroupedOption) else others).append(record)
        if not ctx.meta.get(_SHOWS_ALL):
            others = [(f"{ctx.help_option_names[-1]} {ALL}", f"Show {len(others) - 1} more options.")]
        for heading, records in {**shown, "More": others}.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=32)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer `--all` too, after `--help`."""
        offered = super().shell_complete(ctx, incomplete)
        option = self.get_help_option(ctx)
        asked = option is not None and ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if asked and incomplete and ALL.startswith(incomplete):
            from click.shell_completion import CompletionItem

            offered.append(CompletionItem(ALL, help="Show every option."))
        return offered

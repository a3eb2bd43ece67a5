"""The queue of a ledger as an HTML page without scripts or forms."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from contentops.reporting.queue import HEAD, cells, heading
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.model import Queue

REFRESH = 5
"""Seconds after which a browser reloads the page."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The headers of every response."""
STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #1c1c1c; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere;
  vertical-align: top }
th { font-weight: 600; font-size: .85em; white-space: nowrap }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #161616 } th, td { border-color: #444 } }
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
<title>contentops queue</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<h1>Queue</h1>
{content}
</body>
</html>
"""


def queue_page(queue: Queue) -> str:
    """Totals first, then a row for each submit."""
    parts = [f"<p>{escape(heading(queue))}</p>"]
    if queue.totals:
        totals = [
            (one.project, one.environment, one.state, f"{one.submits:,}", f"{one.credits:,}") for one in queue.totals
        ]
        parts.append(_table(("PROJECT", "ENVIRONMENT", "STATE", "SUBMITS", "CREDITS"), totals))
        parts.append(_table(HEAD, [cells(one) for one in queue.submits]))
    if len(queue.submits) < queue.size:
        parts.append(f"<p>and {queue.size - len(queue.submits):,} more</p>")
    if queue.workers:
        parts.append(_table(("WORKERS",), [(who,) for who in queue.workers]))
    return _PAGE.format(seconds=REFRESH, content="\n".join(parts))


def error_page(message: str) -> str:
    """The page while the ledger cannot be read."""
    return _PAGE.format(seconds=REFRESH, content=f"<p>{escape(visible(message))}</p>")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{escape(one.capitalize())}</th>' for one in head)
    lines = "\n".join(f"<tr>{''.join(f'<td>{escape(visible(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"

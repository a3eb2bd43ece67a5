"""Makes every picture of the documentation from a real run.

    python docs/pictures.py            the terminal and, where there is a Chromium, the review page
    python docs/pictures.py terminal   the terminal alone

A plan is drawn as text in an SVG: the same project gives the same bytes. docs/screenshots.py makes those of the page.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402 - the checkout comes first on the path
from rich.text import Text  # noqa: E402

from tests import review_project  # noqa: E402

PLAN: Final = ROOT / "docs" / "pictures" / "plan.svg"
COMMAND: Final = ("plan", "--select", "blog/*", "--select", "newsletter/w*", "--select", "cities/v*")
NOW: Final = datetime(2026, 11, 29, 11, 50, tzinfo=UTC)
SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="contentops plan">
<style>
text {{ font-family: "Fira Code", "JetBrains Mono", Menlo, Consolas, monospace; font-size: {char_height}px; \
line-height: {line_height}px; white-space: pre; font-variant-ligatures: none }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
{matrix}
</g>
</svg>
"""
"""What rich fills in; its own format fetches fonts from a server."""


def printed(project: Path) -> str:
    """Return what the command prints in a project, with its colours."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "SYSTEMROOT", "TEMP"}}
    command = [sys.executable, "-m", "contentops", *COMMAND]
    env = {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "FORCE_COLOR": "1"}
    return subprocess.run(command, cwd=project, env=env, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def plan() -> str:
    """Return the picture of a plan of a project that is in many states."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        review_project.in_every_state(project, now=NOW)
        shown = Text.assemble(
            ("$ ", "dim"), shlex.join(("contentops", *COMMAND)), "\n\n", Text.from_ansi(printed(project))
        )
    width = max(line.cell_len for line in shown.split("\n"))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown)
    drawn = console.export_svg(title="contentops plan", code_format=SVG, unique_id="plan")
    return "".join(f"{line.strip()}\n" for line in drawn.splitlines() if line.strip())


def main() -> None:
    """Write the pictures."""
    PLAN.parent.mkdir(exist_ok=True)
    PLAN.write_text(plan(), "utf-8")
    print(f"{PLAN.name}: {PLAN.stat().st_size:,} bytes")
    if "terminal" in sys.argv[1:]:
        return
    if review_project.BROWSER is None:
        sys.exit("error: no Chromium on the path, so the pictures of the review page are as they were")
    from docs import screenshots

    screenshots.shoot(screenshots.FOLDER)


if __name__ == "__main__":
    main()

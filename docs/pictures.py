"""Make every picture of the documentation from real runs.

    python docs/pictures.py            draws the terminal and, if Chromium is installed, the review page
    python docs/pictures.py terminal   draws only the terminal

The terminal's output is drawn as text in an SVG: the same project gives the same bytes. The apply uses a fake server
and a virtual clock. docs/screenshots.py makes the pictures of the review page.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest import mock

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402 - the checkout comes first on the path
from rich.text import Text  # noqa: E402

from contentops.cli.carry_out import Moving  # noqa: E402
from contentops.model import Event  # noqa: E402
from contentops.reporting.layout import fitted  # noqa: E402
from contentops.reporting.plan_text import plan_text  # noqa: E402
from tests import review_project  # noqa: E402
from tests.fakes.api import FakeApi  # noqa: E402
from tests.fakes.harness import Harness, blog  # noqa: E402
from tests.terminals import on_a_terminal  # noqa: E402

FOLDER: Final = ROOT / "docs" / "pictures"
WIDTH: Final = 80
NOW: Final = datetime(2026, 11, 29, 11, 50, tzinfo=UTC)
TERMINAL: Final = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "NO_COLOR": "", "CI": "", "GITHUB_ACTIONS": ""}
SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">
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


@contextmanager
def example(name: str, *steps: str) -> Iterator[Path]:
    """Yield a copy of an example project, after running some shell commands in it."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / name
        ignored = shutil.ignore_patterns(".contentops", "out", "*.lock", "*.jobs", ".gitattributes")
        shutil.copytree(ROOT / "examples" / name, project, ignore=ignored)
        command = f'contentops() {{ "{sys.executable}" -m contentops "$@"; }}'
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for step in steps:
            shell = [str(shutil.which("bash")), "-ec", f"{command}; {step}"]
            subprocess.run(shell, cwd=project, env=env, check=True, capture_output=True)
        yield project


def printed(project: Path, *words: str) -> Text:
    """Return the output of a contentops command in a project, as a terminal shows it."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from contentops.__main__ import main; main({list(words)!r})"
    )
    shown = Text.from_ansi(on_a_terminal(script, b"", TERMINAL, cwd=project))
    return Text.assemble(_typed(*words), shown)


def _typed(*words: str) -> Text:
    command = " ".join(f"'{word}'" if set(word) & set("*<>") else word for word in words)
    return Text.assemble(("$ ", "dim"), f"contentops {command}\n")


def plan() -> Text:
    """Return the plan of a project whose items are in many states."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        review_project.in_every_state(project, now=NOW)
        return printed(project, "plan", "--select", "blog/*", "--select", "newsletter/w*", "--select", "cities/v*")


def cities() -> Text:
    """Return the plan of the example `cities` after a price has changed."""
    with example("cities", "contentops apply --yes", "sed -i.bak s/189/195/ data/cities.csv") as project:
        return printed(project, "plan")


def newsletter() -> Text:
    """Return the plan of two newsletter issues whose articles are not approved yet."""
    with example("newsletter", "git init --quiet", "contentops apply --yes --select 'posts/*'") as project:
        return printed(project, "plan", "--select", "due<=2027-01-31")


def release_notes() -> Text:
    """Return the plan of the example `release-notes` after a correction in its data."""
    correct = "sed -i.bak 's/until 2.6/until 2.7/' data/changes.csv"
    with example("release-notes", "contentops apply --yes", correct) as project:
        return printed(project, "plan")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def apply() -> Text:
    """Return the terminal output of an apply that is half done."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TERMINAL):
        harness = Harness(Path(folder), FakeApi(duration=60))
        harness.write("content/cities.yaml", blog("berlin", "lisbon", "london", "oslo", "toronto", "zurich"))
        before = fitted(plan_text(harness.plan(), verbose=False, advice=False, width=WIDTH), WIDTH)
        harness.apply()
        moved = _until(harness.events, lambda done, running: done == 3 and running > 1)
    question = f"{before}\n\nApply these changes? (yes/no) yes\n"
    return Text.assemble(_typed("apply"), Text.from_ansi(question + moved))


def _until(events: list[Event], is_reached: Callable[[int, int], bool]) -> str:
    """Return the progress display of a run at the first moment when `is_reached` is true.

    `is_reached` gets the number of items that are done and the number that are running.
    """
    now = 0.0
    stream = _Terminal()
    display = Moving(stream, clock=lambda: now)
    display.start()
    running: set[str] = set()
    done = 0
    for event in events:
        now = datetime.fromisoformat(event.at).timestamp()
        display.show(event)
        if event.kind == "step-started":
            running.add(event.item)
        if event.kind == "item-done":
            running.discard(event.item)
            done += 1
        if is_reached(done, len(running)):
            break
    shown = stream.getvalue()
    display.close()
    *kept, last = shown.split("\r\x1b[2K")
    return "".join(part[: part.rfind("\n") + 1] for part in (*kept, last)) + last[last.rfind("\n") + 1 :]


def draw(shown: Text, name: str) -> str:
    """Return an SVG picture of a terminal with this text."""
    width = max(line.cell_len for line in shown.split("\n"))
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown)
    title = shown.plain.partition("\n")[0].removeprefix("$ ")
    drawn = console.export_svg(title=title, code_format=SVG.replace("{title}", f"contentops {name}"), unique_id=name)
    return "".join(f"{line.strip()}\n" for line in drawn.splitlines() if line.strip())


PICTURES: Final = {
    "plan": plan,
    "apply": apply,
    "cities": cities,
    "newsletter": newsletter,
    "release-notes": release_notes,
}


def main() -> None:
    """Write all pictures into the pictures folder."""
    FOLDER.mkdir(exist_ok=True)
    for name, shown in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        path.write_text(draw(shown(), name), "utf-8")
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    if "terminal" in sys.argv[1:]:
        return
    if review_project.BROWSER is None:
        sys.exit("error: no Chromium on the path, so the pictures of the review page are as they were")
    from docs import screenshots

    screenshots.shoot(screenshots.FOLDER)


if __name__ == "__main__":
    main()

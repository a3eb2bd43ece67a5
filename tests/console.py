"""Runs the console sessions in a Markdown page, in order, in one scratch folder.

A page says what is run by how its fenced blocks are tagged:

- `console`: lines that start with `$ ` are commands (`> ` continues one); the lines after a command are its output,
  standard error included. A line of `...` stands for any number of lines, `...` within a line for any text. Without
  any expected line the output is not compared. A command must succeed, unless it ends in `; echo $?` or such.
- `sh`: every line is part of one script, which must succeed.
- any other tag with `file=PATH`: the block is written to that file first.
- `console no-run` and `sh no-run`: not run. The line before the block must be a comment that says why.

The scratch folder holds a copy of `examples/`; `contentops` and `python` are those under test.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<tag>[^`]*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it starts (1-based line of its fence), its tag words, its lines, the line before it."""

    line: int
    tags: tuple[str, ...]
    lines: tuple[str, ...]
    before: str

    @property
    def is_session(self) -> bool:
        """Whether it holds commands, run or not."""
        return bool(self.tags) and self.tags[0] in {"console", "sh", "bash", "shell"}

    @property
    def runs(self) -> bool:
        """Whether its commands are run."""
        return self.is_session and "no-run" not in self.tags

    @property
    def file(self) -> str:
        """The file it is written to, or empty."""
        return next((tag.removeprefix("file=") for tag in self.tags if tag.startswith("file=")), "")


@dataclass(slots=True)
class Step:
    """A command, or a file to write, and the output a reader is promised."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)


class SessionFailed(AssertionError):
    """A page promises something that does not happen."""


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown page, in order."""
    lines = text.splitlines()
    start, opened = 0, None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if opened is None and fence:
            start, opened = number, fence
        elif opened is not None and fence and not fence["tag"] and fence["ticks"].startswith(opened["ticks"]):
            before = next((one for one in reversed(lines[:start]) if one.strip()), "")
            inside = tuple(one.removeprefix(opened["indent"]) for one in lines[start + 1 : number])
            yield Block(start + 1, tuple(opened["tag"].split()), inside, before.strip())
            opened = None
    if opened is not None:
        message = f"line {start + 1}: a fenced block is never closed"
        raise SessionFailed(message)


def steps(text: str) -> list[Step]:
    """Everything a page has a reader do, in order."""
    found: list[Step] = []
    for block in blocks(text):
        if block.file:
            name = shlex.quote(block.file)
            content = shlex.quote("\n".join(block.lines))
            found.append(Step(block.line, f'mkdir -p "$(dirname {name})" && printf "%s\\n" {content} > {name}'))
        elif block.runs and block.tags[0] == "console":
            found.extend(_session(block))
        elif block.runs:
            found.append(Step(block.line, "set -e\n" + "\n".join(block.lines) + "\nset +e"))
    return found


def _session(block: Block) -> Iterator[Step]:
    step = None
    for number, line in enumerate(block.lines, start=block.line + 1):
        if line.startswith("$ "):
            if step:
                yield step
            step = Step(number, line[2:])
        elif step is None:
            message = f"line {number}: a console block starts with a command (`$ ...`)"
            raise SessionFailed(message)
        elif line.startswith("> ") and not step.expected:
            step.command += f"\n{line[2:]}"
        else:
            step.expected.append(line)
    if step:
        yield step


def matches(expected: list[str], output: str) -> bool:
    """Whether the output is as the page shows it; blank lines at both ends and trailing blanks do not count."""
    pattern = ""
    for line in "\n".join(expected).strip("\n").split("\n"):
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n"
    told = "\n".join(line.rstrip() for line in output.strip("\n").split("\n")) + "\n"
    return re.fullmatch(pattern, told) is not None


def run_page(text: str, folder: Path, env: Mapping[str, str]) -> int:
    """Runs a page's commands in `folder`; returns how many. Raises SessionFailed at the first that is not as shown."""
    planned = steps(text)
    logs = folder / ".console"
    logs.mkdir()
    script = [f"logs={shlex.quote(str(logs))}", "cd work", "set +e"]
    for number, step in enumerate(planned):
        script += [f'{{ {step.command}\n}} > "$logs/{number}" 2>&1 < /dev/null', f'echo $? > "$logs/{number}.code"']
        script += [f'[ "$(cat "$logs/{number}.code")" = 0 ] || exit 0']
    (folder / "work").mkdir(exist_ok=True)
    subprocess.run(["bash", "-c", "\n".join(script)], cwd=folder, env=dict(env), timeout=100, check=False)
    for number, step in enumerate(planned):
        output = (logs / str(number)).read_text("utf-8", "replace") if (logs / str(number)).exists() else ""
        ended = logs / f"{number}.code"
        code = ended.read_text().strip() if ended.exists() else "none: the shell ended"
        if code != "0":
            message = f"line {step.line}: `{step.command}` ended with exit code {code} and printed:\n{output}"
            raise SessionFailed(message)
        if step.expected and not matches(step.expected, output):
            shown = "\n".join(step.expected)
            message = f"line {step.line}: `{step.command}` printed:\n{output}\nthe page shows:\n{shown}"
            raise SessionFailed(message)
    return len(planned)

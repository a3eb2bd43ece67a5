"""Measure the tests with the mutants of `mutants.jsonl`: `python tests/run_mutants.py [--only N ...]`.

A mutant is the program with one statement changed. Each line has its `number`, `file`, `function` (empty for a statement
of the module), the lines `before` and `after` the change, and a `verdict`: `killed-quick` and `killed-long` name in
`test` the test that failed, `equivalent` says in `reason` why no test can fail, and `survived` is open.

The script changes the file, runs that test, and restores the file. If the test passes, or no longer exists, the tests
of its file run, then all quick tests, then all long ones. Commit first: a SIGKILL leaves the changed file.
"""

import argparse
import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutants.jsonl")
SECONDS = {True: 300, False: 1800}
"""After how many seconds near tests, or all tests of a part, count as failed: the mutant waits forever."""

PASSED_OR_GONE = frozenset({0, 4, 5})
"""The exit codes of pytest if all tests pass, or if a test that is named no longer exists."""


def body_of(text: str, function: str) -> str:
    """Return the source of a function or class with this qualified name; raises LookupError if there is none."""
    node: ast.AST = ast.parse(text)
    if not function:
        return text
    for name in function.split("."):
        inner = (one for one in ast.walk(node) if one is not node)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = next((one for one in inner if isinstance(one, kinds) and one.name == name), None)
        if found is None:
            raise LookupError(function)
        node = found
    assert isinstance(node, ast.stmt)
    return "".join(text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno])


def mutated(text: str, mutant: dict[str, Any]) -> str:
    """Return a source file with the change; raises LookupError unless the lines are in the function exactly once."""
    body = body_of(text, mutant["function"])
    before, after = f"\n{mutant['before']}\n", f"\n{mutant['after']}\n"
    if f"\n{body}".count(before) != 1:
        raise LookupError(mutant["before"])
    return text.replace(body, f"\n{body}".replace(before, after).removeprefix("\n"), 1)


def failing(*arguments: str, near: bool = False) -> str:
    """Run pytest until a test fails; returns that test, "" if none does, or "?" if pytest ends otherwise.

    `near`: the arguments name a test or file, which may no longer exist.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-pno:cacheprovider", *arguments]
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS[near])
    except subprocess.TimeoutExpired:
        return "?"
    lines = (line for line in ended.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    test = next(lines, " ?").partition(" ")[2].partition(" - ")[0]
    return "" if ended.returncode in (PASSED_OR_GONE if near else {0}) else test


def verdict(mutant: dict[str, Any]) -> str:
    """Return what is true of a mutant now."""
    path = ROOT / mutant["file"]
    try:
        text = path.read_text("utf-8")
        changed = mutated(text, mutant)
    except (FileNotFoundError, LookupError):
        return "no longer applies"
    try:
        path.write_text(changed, "utf-8")
        test = mutant.get("test", "")
        for name in filter(None, (test, test.partition("::")[0])):
            if failing(name, near=True):
                return str(mutant["verdict"])
        for part in ("quick", "long"):
            if test := failing(f"--{part}", "-n2"):
                return f"killed-{part} by {test}"
    finally:
        path.write_text(text, "utf-8")
    return "survived"


def main() -> None:
    """Print the verdict of each mutant, and how many have it."""
    parser = argparse.ArgumentParser(description="measure the tests with mutants")
    parser.add_argument("--only", type=int, nargs="+", default=[], metavar="N", help="numbers of mutants; default: all")
    only = parser.parse_args().only
    totals: Counter[str] = Counter()
    for line in LIST.read_text("utf-8").splitlines():
        mutant = json.loads(line)
        if only and mutant["number"] not in only:
            continue
        known = mutant["verdict"] == "equivalent"
        now = f"equivalent: {mutant['reason']}" if known else verdict(mutant)
        totals[now.partition(" by ")[0].partition(":")[0]] += 1
        sys.stdout.write(f"{mutant['number']:4} {mutant['file']} {mutant['function']}: {now}\n")
        sys.stdout.flush()
    sys.stdout.write(", ".join(f"{count} {name}" for name, count in totals.most_common()) + "\n")


if __name__ == "__main__":
    main()

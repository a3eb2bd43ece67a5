"""Runs the shell steps of workflows and of our action as a runner does, so that what is shipped is what is tested."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests import warm

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ROOT = Path(__file__).parents[1]
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_CHOICE = re.compile(r"(?P<name>[\w.]+) != '(?P<not>\w+)' && format\('(?P<text>[^']*)', (?P<term>[\w.]+)\) \|\| ''")
_TERM = re.compile(
    r"(?:steps\.(?P<step>[\w-]+)\.(?:outcome|outputs\.(?P<output>[\w-]+))|(?P<context>github\.event_name))"
    r" (?P<sign>==|!=) '(?P<value>[^']*)'"
)


def read(path: Path) -> dict[str, Any]:
    """A workflow or an action; the key `on` is a word here, not a truth value."""
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 - it builds texts alone
    return found


def steps_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every step of a workflow or an action."""
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job["steps"]]


@dataclass(slots=True)
class Ended:
    """How a job ended: exit code by step, what was printed, and outputs and outcomes by step id."""

    codes: dict[str, int] = field(default_factory=dict)
    printed: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)

    def lets_run(self, condition: str) -> bool:
        """Whether a step with this `if` runs now; only the forms that our workflows use are known."""
        terms = [term.strip() for term in condition.split("&&") if term.strip()]
        if any(self.codes.values()) and "always()" not in terms:
            return False
        return all(term == "always()" or self._term(term) for term in terms)

    def _term(self, term: str) -> bool:
        found = _TERM.fullmatch(term)
        assert found, f"a condition that this runner does not know: {term}"
        step = found["step"]
        if found["context"]:
            return (self.contexts[found["context"]] == found["value"]) is (found["sign"] == "==")
        value = self.outputs.get(step, {}).get(found["output"], "") if found["output"] else self.outcomes[step]
        return (value == found["value"]) is (found["sign"] == "==")


def _outputs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


class Runner:
    """A runner in a folder of its own, with contentops installed where the action would put it."""

    def __init__(self, folder: Path, workspace: Path, env: Mapping[str, str], contexts: Mapping[str, str]) -> None:
        self.temp = folder / "temp"
        self.summary = folder / "summary.md"
        self._workspace, self._contexts = workspace, dict(contexts)
        self._env = env
        home = self.temp / "contentops" / "bin"
        home.mkdir(parents=True, exist_ok=True)
        command = home / "contentops"
        command.write_text(warm.script())
        command.chmod(0o755)

    def job(self, workflow: Path, *, failing: Collection[str] = ()) -> Ended:
        """Runs the steps of the only job of a workflow.

        Steps of others (checkout, artifacts) do nothing, and succeed but for those whose ids are in `failing`.
        """
        (job,) = read(workflow)["jobs"].values()
        ended = Ended(contexts=self._contexts)
        for at, step in enumerate(job["steps"]):
            name = step.get("id") or step.get("with", {}).get("command") or str(at)
            if not ended.lets_run(step.get("if", "")):
                ended.outcomes[name] = "skipped"
            elif "contentops@" in step["uses"]:
                self.action({key: self._filled(value) for key, value in step["with"].items()}, name, ended)
                ended.outcomes[name] = "failure" if ended.codes[name] else "success"
                self._contexts |= {f"steps.{name}.outputs.{key}": value for key, value in ended.outputs[name].items()}
            else:
                ended.outcomes[name] = "failure" if name in failing else "success"
        return ended

    def action(self, inputs: Mapping[str, str], name: str = "step", ended: Ended | None = None) -> Ended:
        """Runs the steps of our action with these inputs."""
        ended = ended or Ended()
        action = read(ROOT / "action.yml")
        assert set(inputs) <= set(action["inputs"])
        given = {key: inputs.get(key, str(about.get("default", ""))) for key, about in action["inputs"].items()}
        output = self.temp / "output"
        output.write_text("")
        looked: dict[str, str] = {}
        for step in steps_of(action):
            key = looked.get("key", "")
            if "uses" in step or (step.get("if") == "steps.look.outputs.key != ''" and not key):
                continue
            # Nothing is filled into a script: what it knows, it knows from its environment.
            assert "${{" not in step["run"]
            stated = {key: self._filled(value, given) for key, value in step["env"].items()}
            env = {**os.environ, **self._env, **stated, **self._files(output)}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self._workspace,
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            ended.printed += done.stdout + done.stderr
            ended.codes[name] = done.returncode
            if done.returncode:
                break
            if step.get("id") == "look":
                looked = _outputs(output)
                output.write_text("")
        ended.outputs[name] = _outputs(output)
        return ended

    def _files(self, output: Path) -> dict[str, str]:
        return {
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self._workspace),
            "GITHUB_ACTIONS": "true",
            "CI": "true",
        }

    def _filled(self, text: str, inputs: Mapping[str, str] | None = None) -> str:
        known = {**self._contexts, "github.action_path": str(ROOT), "runner.temp": str(self.temp)}
        known |= {f"inputs.{key}": value for key, value in (inputs or {}).items()}
        # A variable that no one has set is empty, and so is an output of a step that did not run.
        open_ = (name for name in _EXPRESSION.findall(text) if name.startswith(("vars.", "steps.")))
        known |= {name: "" for name in open_ if name not in known}

        def value(found: re.Match[str]) -> str:
            chosen = _CHOICE.fullmatch(found[1])
            if chosen is None:
                return known[found[1]]
            return (
                "" if known[chosen["name"]] == chosen["not"] else chosen["text"].replace("{0}", known[chosen["term"]])
            )

        return _EXPRESSION.sub(value, text)

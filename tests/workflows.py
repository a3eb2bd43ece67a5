"""Runs the shell steps of workflows and of our action as a runner does, so that what is shipped is what is tested."""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import warm

ROOT = Path(__file__).parents[1]
FIRST = 4
"""The steps of the action that install contentops and run one command; those of workflows come after them."""
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_WORD = re.compile(r"'[^']*'|&&|\|\||always\(\)|format\(|[A-Za-z][\w.-]*")
_PYTHON = {"&&": " and ", "||": " or ", "always()": "True", "format(": "str.format("}


def value_of(expression: str, known: Mapping[str, str]) -> Any:
    """The value of an expression of a workflow; only the operators and functions that ours use are known."""

    def python(found: re.Match[str]) -> str:
        word = found[0]
        return word if word.startswith("'") else _PYTHON.get(word) or f"known[{word!r}]"

    return eval(_WORD.sub(python, expression), {"known": known})  # noqa: S307 - our own files


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

    def lets_run(self, condition: str, known: Mapping[str, str]) -> bool:
        """Whether a step with this `if` runs now."""
        if any(self.codes.values()) and "always()" not in condition:
            return False
        return bool(value_of(condition, known)) if condition else True


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

    def job(self, workflow: Path, name: str = "", *, failing: Collection[str] = ()) -> Ended:
        """Runs the steps of a job of a workflow (by default of the first), and those that the action has for it.

        Steps of others (checkout, artifacts) do nothing, and succeed but for those whose ids are in `failing`.
        """
        jobs = read(workflow)["jobs"]
        ended = Ended()
        for at, step in enumerate(jobs[name or next(iter(jobs))]["steps"]):
            known = self._known(self._contexts) | self._of_steps(ended)
            id_ = step.get("id", f"job-{at}")
            given = {key: _fill(value, known) for key, value in step.get("with", {}).items()}
            if not ended.lets_run(step.get("if", ""), known):
                ended.outcomes[id_] = "skipped"
            elif "run" in step:
                self._shell({"env": {}, **step}, known, self._output(), id_, ended)
            elif "/contentops@" not in step["uses"]:
                ended.outcomes[id_] = "failure" if id_ in failing else "success"
            elif "workflow" in given:
                self._chain(given, failing, ended)
            else:
                self.action(given, id_, ended)
        return ended

    def _output(self) -> Path:
        output = self.temp / "output"
        output.write_text("")
        return output

    def _chain(self, given: Mapping[str, str], failing: Collection[str], ended: Ended) -> None:
        """Runs the steps of a workflow that are in the action."""
        action = read(ROOT / "action.yml")
        for at, step in enumerate(steps_of(action)[FIRST:]):
            name = step.get("id", str(at))
            known = self._known(self._inputs(given)) | self._of_steps(ended)
            if not ended.lets_run(step["if"], known):
                ended.outcomes[name] = "skipped"
            elif "uses" in step:
                ended.outcomes[name] = "failure" if name in failing else "success"
            else:
                output = self._output()
                self._shell(step, known, output, name, ended)
                ended.outputs[name] = _outputs(output)
                ended.outcomes[name] = "failure" if ended.codes[name] else "success"

    @staticmethod
    def _of_steps(ended: Ended) -> dict[str, str]:
        known = {f"steps.{name}.outcome": outcome for name, outcome in ended.outcomes.items()}
        outputs = ((name, key, value) for name, step in ended.outputs.items() for key, value in step.items())
        return known | {f"steps.{name}.outputs.{key}": value for name, key, value in outputs}

    def action(self, inputs: Mapping[str, str], name: str = "step", ended: Ended | None = None) -> Ended:
        """Runs the steps of our action with these inputs."""
        ended = ended or Ended()
        action = read(ROOT / "action.yml")
        known = self._known(self._inputs(inputs))
        output = self._output()
        looked: dict[str, str] = {}
        for step in steps_of(action)[:FIRST]:
            key = looked.get("key", "")
            if "uses" in step or (step.get("if") == "steps.look.outputs.key != ''" and not key):
                continue
            self._shell(step, known, output, name, ended)
            if ended.codes[name]:
                break
            if step.get("id") == "look":
                looked = _outputs(output)
                output.write_text("")
        ended.outputs[name] = _outputs(output)
        return ended

    @staticmethod
    def _inputs(inputs: Mapping[str, str]) -> dict[str, str]:
        """The inputs of the action with their defaults."""
        known = read(ROOT / "action.yml")["inputs"]
        assert set(inputs) <= set(known)
        return {f"inputs.{key}": inputs.get(key, str(about.get("default", ""))) for key, about in known.items()}

    def _shell(self, step: Mapping[str, Any], known: Mapping[str, str], output: Path, name: str, ended: Ended) -> None:
        # Nothing is filled into a script: what it knows, it knows from its environment.
        assert "${{" not in step["run"]
        stated = {key: _fill(value, known) for key, value in step["env"].items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=self._workspace,
            env={**os.environ, **self._env, **stated, **self._files(output)}, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        ended.printed += done.stdout + done.stderr
        ended.codes[name] = done.returncode

    def _files(self, output: Path) -> dict[str, str]:
        return {
            "RUNNER_TEMP": str(self.temp), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_WORKSPACE": str(self._workspace), "GITHUB_ACTIONS": "true", "CI": "true",
        }  # fmt: skip

    def _known(self, inputs: dict[str, str]) -> dict[str, str]:
        """What expressions of the action can name; what no one has set is empty."""
        contexts = {key: value for key, value in self._contexts.items() if not key.startswith("inputs.")}
        known = {"github.action_path": str(ROOT), "runner.temp": str(self.temp)} | contexts | inputs
        return defaultdict(str, known)


def _fill(text: str, known: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: value_of(found[1], known), text)

"""The examples for several machines: what each engine reads is valid, and its command applies one part of a project."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm
from tests.clones import WHO, posix
from tests.fakes.rough import Rough
from tests.postgres import until
from tests.processes import KEY, PATIENCE, Served, blog
from tests.running import unmeasured

EXAMPLE = Path(__file__).parents[1] / "examples/many-machines"
PREFECT = "prefect==3.9.1"
ITEMS, PER_MINUTE = 200, 400
"""They ask a little more often than the limit allows in a minute, so that it holds them up once."""
pytestmark = posix

AIRFLOW = """
import json, runpy, sys, types
made = []
class BashOperator:
    @classmethod
    def partial(cls, **settings):
        made.append(settings)
        return cls()
    def expand(self, env):
        made[-1]["env"] = env
class DAG:
    def __init__(self, *words, **settings): pass
    def __enter__(self): return self
    def __exit__(self, *error): pass
for name, values in {"airflow": {}, "airflow.sdk": {"DAG": DAG}, "airflow.providers": {},
                     "airflow.providers.standard": {}, "airflow.providers.standard.operators": {},
                     "airflow.providers.standard.operators.bash": {"BashOperator": BashOperator}}.items():
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(values)
runpy.run_path(sys.argv[1])
(operator,) = made
print(json.dumps([operator["bash_command"], operator["env"]]))
"""
"""Stubs of its classes: they print the command, and the variables of each mapped task."""

STUB_OF_PREFECT = """
import logging, runpy, sys, types
class State:
    def __init__(self, error): self.error = error
    def result(self, raise_on_failure): return self.error
class task:
    def __init__(self, retries, retry_delay_seconds, retry_condition_fn):
        assert retries == len(retry_delay_seconds)
        self.retries, self.is_worth = retries, retry_condition_fn
    def __call__(self, function):
        self.function = function
        return self
    def map(self, repository, folder, parts):
        for part in parts:
            for left in range(self.retries, -1, -1):
                try:
                    self.function(repository, folder, part)
                    break
                except Exception as error:
                    print(error)
                    if not left or not self.is_worth(self, None, State(error)): raise
        return self
    def result(self): pass
values = {"flow": lambda function: function, "task": task, "unmapped": str, "get_run_logger": logging.getLogger}
sys.modules["prefect"] = types.ModuleType("prefect")
vars(sys.modules["prefect"]).update(values)
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A stub that runs one task after the other, and again where the flow says so."""


def job() -> Any:
    """The Job of Kubernetes."""
    return yaml.safe_load((EXAMPLE / "kubernetes.yaml").read_text("utf-8"))


def pod() -> Any:
    """Its pod."""
    return job()["spec"]["template"]["spec"]


def test_the_api_of_kubernetes_takes_the_job() -> None:
    """It fits the schema of its kind, with no key that it does not know; skipped where no schemas are installed."""
    schemas = pytest.importorskip("kubernetes_validate", reason="no schemas: `pip install kubernetes-validate`")
    schemas.validate(job(), schemas.latest_version(), strict=True)


def test_a_pod_may_do_no_more_than_it_needs() -> None:
    """No root, no rights, no token of the cluster, nothing but its own volumes to write in, a bound for its memory.

    Every part has a pod.
    """
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    restrictions = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["securityContext"] == restrictions
    assert not pod()["automountServiceAccountToken"]
    assert all("emptyDir" in volume for volume in pod()["volumes"])
    assert container["resources"]["limits"]["memory"]
    secret = {"CONTENTOPS_LEDGER", "WRITERZROOM_API_KEY", "REPOSITORY"}
    for variable in container["env"]:
        assert ("value" in variable) == (variable["name"] not in secret)
    (shards,) = (variable["value"] for variable in container["env"] if variable["name"] == "SHARDS")
    spec = job()["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(shards)


def test_the_image_is_built_of_what_there_is() -> None:
    """Every path that the Dockerfile copies is in the checkout."""
    lines = [line.split() for line in (EXAMPLE / "Dockerfile").read_text("utf-8").splitlines()]
    words = [word for line in lines if line[:1] == ["COPY"] for word in line[1:-1] if not word.startswith("--")]
    assert words
    assert [word for word in words if not (EXAMPLE.parents[1] / word).exists()] == []


class Machines:
    """A repository with a project, and what its machines share. `program`: their `contentops`; `env`: their variables."""

    def __init__(
        self, folder: Path, base_url: str, ids: list[str], *, program: str, per_minute: int = 0, ledger: str = ""
    ) -> None:
        self.folder, self.remote, self.work = folder, folder / "site.git", folder / "work"
        site, programs = folder / "site", folder / "bin"
        for each in (site / "content", self.work, programs):
            each.mkdir(parents=True)
        (site / "contentops.yaml").write_text(
            f'version: 1\nproject: acme-blog\napi: {{base_url: "{base_url}", requests_per_minute: {per_minute}}}\n'
            "defaults: {template: blog_article_generator, style: general_blog}\n"
        )
        (site / "content/blog.yaml").write_text(blog(*ids))
        for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "A site"]):
            subprocess.run(["git", *words], cwd=site, check=True, env={**os.environ, **WHO})
        subprocess.run(["git", "clone", "-q", "--bare", str(site), str(self.remote)], check=True)
        shutil.copy(EXAMPLE / "apply.sh", programs)
        (programs / "apply.sh").chmod(0o755)
        self.program = programs / "contentops"
        self.program.write_text(program)
        self.program.chmod(0o755)
        self.env = {
            **unmeasured(), **WHO, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "WRITERZROOM_API_KEY": KEY,
            "CONTENTOPS_SERVERS": base_url,
        }  # fmt: skip
        if ledger:
            self.env["CONTENTOPS_LEDGER"] = ledger

    def run(
        self,
        command: list[str],
        env: Mapping[str, str],
        meanwhile: Callable[[subprocess.Popen[str]], None] | None = None,
    ) -> str:
        """What a command says, which has to end well."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=self.folder, env={**self.env, **env}, text=True, **pipes) as child:
            try:
                if meanwhile is not None:
                    meanwhile(child)
                said, _ = child.communicate(timeout=5 * PATIENCE)
            finally:
                child.kill()
        assert child.returncode == 0, said
        return str(said)

    def outputs(self) -> list[str]:
        """The texts that the branch has."""
        listed = self.run(["git", "ls-tree", "-r", "--name-only", "main"], {"GIT_DIR": str(self.remote)}).split()
        return [name for name in listed if name.startswith("out/")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """One for each test."""
    with Served(tmp_path / "store.db") as served:
        yield served


def test_the_pods_of_kubernetes_make_the_whole(tmp_path: Path, server: Served) -> None:
    """Each of them with its index, in a folder of its own; a pod that comes again finds nothing to do."""
    machines = Machines(tmp_path / "k", server.base_url, [*"abcdef"], program=warm.script())
    (container,) = pod()["containers"]
    stated = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    assert stated.keys() >= {"CONTENTOPS_LEDGER", "WRITERZROOM_API_KEY", "CONTENTOPS_SERVERS", "REPOSITORY", "WORK"}
    for index in (0, 1, 2, 3, 3):
        work = machines.work / f"{index}-{len(list(machines.work.iterdir()))}"
        env = {"JOB_COMPLETION_INDEX": str(index), "SHARDS": stated["SHARDS"], "WORK": str(work)}
        work.mkdir()
        machines.run([*container["command"], *container["args"]], {**env, "REPOSITORY": str(machines.remote)})
    assert machines.outputs() == [f"out/{name}.md" for name in "abcdef"]
    assert server.charges() == [f"All about {name}" for name in "abcdef"]


def test_the_tasks_of_airflow_make_the_whole(tmp_path: Path, server: Served) -> None:
    """With stubs of its classes: the command of the operator, with the variables of each mapped task."""
    machines = Machines(tmp_path / "a", server.base_url, [*"abcd"], program=warm.script())
    said = machines.run([sys.executable, "-c", AIRFLOW, str(EXAMPLE / "airflow_dag.py")], {})
    command, tasks = json.loads(said)
    folders = {"CONTENTOPS_REPOSITORY": str(machines.remote), "CONTENTOPS_FOLDER": str(machines.work)}
    for env in (*tasks, tasks[0]):
        machines.run(["bash", "-c", command], {**folders, **env})
    assert (machines.outputs(), len(server.charges())) == ([f"out/{name}.md" for name in "abcd"], 4)


def test_the_tasks_of_prefect_make_the_whole(tmp_path: Path, server: Served) -> None:
    """A task whose process is killed is tried again; one that only a person can help fails the flow."""
    flow = [sys.executable, "-c", STUB_OF_PREFECT, str(EXAMPLE / "prefect_flow.py")]
    (tmp_path / "warm").write_text(warm.script())
    die_once = f'[ -e "{tmp_path}/died" ] || {{ touch "{tmp_path}/died"; kill -9 "$PPID" $$; }}'
    program = f'#!/bin/sh\ncase "$*" in *shard:*) {die_once};; esac\nexec sh "{tmp_path}/warm" "$@"\n'
    machines = Machines(tmp_path / "p", server.base_url, [*"abcd"], program=program)
    said = machines.run([*flow, str(machines.remote), str(machines.work), "2"], {})
    assert said.splitlines() == ["the apply of shard 1/2 ended with -9"]
    assert (machines.outputs(), len(server.charges())) == ([f"out/{name}.md" for name in "abcd"], 4)
    machines.program.write_text("#!/bin/sh\nexit 64\n")
    with pytest.raises(AssertionError) as caught:
        machines.run([*flow, str(machines.remote), str(tmp_path / "other"), "2"], {})
    assert str(caught.value).count("the apply of shard 1/2 ended with 64\n") == 2, "printed, and in the traceback"


@pytest.fixture(scope="session")
def prefect() -> str:
    """A Python with Prefect, from the package index and kept beside this one; skipped where it cannot be installed."""
    home = Path(sys.prefix) / "tests" / PREFECT.replace("==", "-")
    python = home / "bin/python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        # The guard of the tests refuses a network; to install this is the one thing that needs it.
        without = {"PYTHONPATH", "SSL_CERT_FILE"}
        env = {name: value for name, value in os.environ.items() if name not in without}
        venv.create(home, symlinks=True)
        uv = shutil.which("uv", path=str(Path(sys.prefix) / "bin")) or "false"
        options = ["--quiet", "--only-binary=:all:"]
        # Most of the time of an installation by pip goes into compiling, and little of it is used.
        slowly = ["--disable-pip-version-check", "--no-compile", "--retries=1", "--timeout=20"]
        commands = (
            [uv, "pip", "install", "--system-certs", "--python", str(python), *options, PREFECT],
            [sys.executable, "-m", "pip", "--python", str(python), "install", *options, *slowly, PREFECT],
        )
        tried = (subprocess.run(each, env=env, capture_output=True, text=True, check=False) for each in commands)
        done = next((each for each in tried if not each.returncode), None)
        if done is None:
            pytest.skip(f"{PREFECT} cannot be installed")
        (home / "complete").touch()
    return str(python)


def _kill_two(machines: Machines, road: Rough, flow: subprocess.Popen[str]) -> None:
    """As two machines that lose their power while they work."""

    def is_busy() -> bool:
        submits = sum(each.line.startswith("POST /v1/generate") for each in road.seen)
        return flow.poll() is not None or (submits >= 40 and len(list(machines.work.glob("*.pid"))) == 4)

    until(is_busy, seconds=3 * PATIENCE)
    if flow.poll() is not None:
        return  # it says why
    for number in (1, 3):
        pids = (machines.work / f"{number}.pid").read_text().split()
        for pid in map(int, reversed(pids)):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif("CONTENTOPS_TEST_PREFECT" not in os.environ, reason="runs weekly, with CONTENTOPS_TEST_PREFECT=1")
@pytest.mark.timeout(400)
def test_prefect_applies_four_parts_of_which_two_are_killed(
    tmp_path: Path, server: Served, database: str, prefect: str
) -> None:
    """200 items with a ledger: each text is made once, and the limit of the account holds for all of them together."""
    flow = tmp_path / "prefect_flow.py"
    flow.write_text(re.sub(r"(?m)^DELAYS = .*", "DELAYS = [0.5] * 6", (EXAMPLE / "prefect_flow.py").read_text("utf-8")))
    shutil.copy(EXAMPLE / "apply.sh", tmp_path)
    ids = [f"i{number:03}" for number in range(ITEMS)]
    with Rough(server.port, seed=1) as road:
        road.smooth = True
        # Process and parent, the first time that a part is applied.
        note = f'case "$*" in *shard:*) file="{tmp_path}/p/work/$(echo "$*" | sed "s/.*shard:\\([0-9]*\\).*/\\1/").pid"'
        note += '; [ -e "$file" ] || { echo "$$ $PPID" > "$file.new" && mv "$file.new" "$file"; };; esac'
        program = f'#!/bin/sh\n{note}\nexec "{sys.executable}" -m contentops "$@"\n'
        machines = Machines(tmp_path / "p", road.base_url, ids, program=program, per_minute=PER_MINUTE, ledger=database)
        env = {
            "PREFECT_HOME": str(tmp_path / "home"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        command = [prefect, str(flow), str(machines.remote), str(machines.work), "4"]
        said = machines.run(command, env, functools.partial(_kill_two, machines, road))
        assert len(re.findall(r"ended with -9", said)) >= 2, said
        assert server.charges() == [f"All about {id_}" for id_ in ids]
        assert machines.outputs() == [f"out/{id_}.md" for id_ in ids]
        assert len(road.seen) > PER_MINUTE >= road.most_within(60.0)
        machines.run(["git", "clone", "-q", str(machines.remote), "fresh"], {})
        del machines.env["CONTENTOPS_LEDGER"]
        assert "All 200 items are up to date" in machines.run(
            ["contentops", "-C", "fresh", "plan", "--detailed-exitcode"], {}
        )

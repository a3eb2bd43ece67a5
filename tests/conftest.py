"""What every test stands on: no network, a clean environment, deterministic examples in CI; and the shared fixtures."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import certifi
import hypothesis
import pytest

from contentops.server.store import Store
from tests import postgres as clusters
from tests.fakes.asgi import Bundled, InProcess
from tests.offline import sitecustomize as offline
from tests.running import Build, Completed, Run

ROOT = Path(__file__).parents[1]
pytest_plugins = ("tests.clones", "tests.hubs", "tests.ledgers", "tests.split")

offline.refuse()

# A shell that starts the tests in the background has them, and all their children, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# To compile all tests, with their asserts rewritten, takes longer than most of their files do; whoever asks Python to
# keep nothing compiled does not mean that.
sys.dont_write_bytecode = False

# The same examples everywhere, so that a failure is never chance; `--hypothesis-profile=new` draws others, and more.
for _profile, _same, _examples in (("same", True, 30), ("new", False, 300)):
    hypothesis.settings.register_profile(
        _profile,
        max_examples=_examples,
        deadline=None,
        derandomize=_same,
        database=None,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a shared machine is slow at times
    )
hypothesis.settings.load_profile("same")

_FOREIGN = ("CI_", "CONTENTOPS_", "GITHUB_", "GIT_", "OPENAI_", "WRITERZROOM_", "_CONTENTOPS")
_FOREIGN_NAMES = {
    "ALL_PROXY", "BRANCH_NAME", "BUILD_SOURCEBRANCH", "CHANGE_ID", "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS",
    "FORCE_COLOR", "HTTPS_PROXY", "HTTP_PROXY", "JENKINS_URL", "LINES", "NO_COLOR", "NO_PROXY", "PYTHONIOENCODING",
    "PYTHONUTF8", "PYTHONWARNINGS", "SSL_CERT_DIR", "SSL_CERT_FILE", "TEAMCITY_VERSION", "TF_BUILD", "TTY_COMPATIBLE",
}  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: for a quarter of the time, long tests wait for processes and databases."""
    return (os.cpu_count() or 1) + (not config.getoption("quick"))


LONGEST = (
    "test_many_machines", "test_two_tables", "test_year", "test_ledger_fault_injection", "test_pages_browser",
    "test_crash", "test_planfile_kills", "test_process_kill", "test_executor_faults", "test_ledger_away",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: else one process may end with it long after the other one."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


# Where there is a file system in memory, the many durable writes of the tests cost nothing.
if os.access("/dev/shm", os.W_OK):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")


def _is_foreign(name: str) -> bool:
    return name.upper() in _FOREIGN_NAMES or name.upper().startswith(_FOREIGN)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of its own, where copies cost little."""
    from tests.fakes.harness import quick_folder

    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same answers on every machine: nothing of the caller's settings, keys, proxies or git identity is seen."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(_is_foreign, list(os.environ)):
            patch.delenv(name)
        # Without compiled modules, each of hundreds of children would compile the whole package.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("HOME", str(home))
        # No one is spoken to but this machine, and a client that reads 140 certificates first is slow to start.
        certificate, end, _ = (
            Path(certifi.where()).read_text("ascii", "replace").partition("-----END CERTIFICATE-----\n")
        )
        (home / "ca.pem").write_text(certificate + end, "utf-8")
        patch.setenv("SSL_CERT_FILE", str(home / "ca.pem"))
        patch.setenv("GIT_CONFIG_GLOBAL", str(ROOT / "tests" / "offline" / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("TZ", "UTC")
        patch.setenv("TERM", "xterm")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests" / "offline"), str(ROOT)]))
        yield


@pytest.fixture
def project(tmp_path: Path) -> Build:
    """Builds a project in the test's own folder."""

    def build(files: Mapping[str, str | bytes] | None = None, /, *, at: str = "") -> Path:
        root = tmp_path / at
        root.mkdir(parents=True, exist_ok=True)
        for name, content in (files or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        return root

    return build


@pytest.fixture
def run(tmp_path: Path, processes: None) -> Run:
    """Runs the command line in a process of its own, as a person or CI does."""

    def start(
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 60,
    ) -> Completed:
        ended = subprocess.run(
            [sys.executable, "-m", "contentops", *arguments], cwd=cwd or tmp_path, env={**os.environ, **(env or {})},
            input=stdin.encode(), capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Completed(ended.returncode, _text(ended.stdout), _text(ended.stderr))

    return start


@pytest.fixture
def invoke(tmp_path: Path) -> Run:
    """Runs the command line in this process: faster, and the same but for signals and the terminal."""

    def call(
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 60,
    ) -> Completed:
        from contentops.__main__ import main

        out, err = io.BytesIO(), io.BytesIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(cwd or tmp_path),
            contextlib.redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)),
            contextlib.redirect_stderr(io.TextIOWrapper(err, "utf-8", write_through=True)),
        ):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            code = main(list(arguments))
            # Read before the wrappers are collected, which closes what they wrap.
            return Completed(code, _text(out.getvalue()), _text(err.getvalue()))

    return call


@pytest.fixture(scope="session")
def postgres(processes: None) -> Iterator[str]:
    """The address of a PostgreSQL that no test kills."""
    with clusters.cluster() as url:
        yield url


@pytest.fixture(scope="session")
def ledger_template(postgres: str) -> Iterator[str]:
    """The name of a database with the tables of a ledger, to be copied: making them takes longer."""
    from contentops.ledger import session as schema
    from contentops.ledger.session import LedgerSession

    def make(url: str) -> None:
        with LedgerSession(url) as session:
            schema.migrate(session)

    with clusters.prepared(postgres, make) as name:
        yield name


@pytest.fixture
def database(postgres: str, ledger_template: str) -> Iterator[str]:
    """The address of a ledger of the test's own that no one has used."""
    with clusters.database(postgres, ledger_template) as url:
        yield url


@pytest.fixture
def second_database(postgres: str, ledger_template: str) -> Iterator[str]:
    """One more."""
    with clusters.database(postgres, ledger_template) as url:
        yield url


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The address of a database without tables."""
    with clusters.database(postgres) as url:
        yield url


@pytest.fixture
def bundled() -> Iterator[Bundled]:
    """Starts bundled servers in this process, over stores in memory."""
    with contextlib.ExitStack() as running:

        def start(store: Store | None = None, **options: Any) -> InProcess:
            server = InProcess(store or Store(), **options)
            running.callback(server.close)
            return server

        yield start


@pytest.fixture
def server(bundled: Bundled) -> InProcess:
    """A bundled server that asks for no keys."""
    return bundled()


def _text(data: bytes) -> str:
    return data.decode("utf-8").replace("\r\n", "\n")

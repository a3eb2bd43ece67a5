"""Real processes for tests: the embedded server on a port, and applies that can be watched, signalled and killed."""

import contextlib
import io
import json
import os
import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Self

from tests.running import Completed, unmeasured

KEY = "wrk_live_9f3A+b/7Q=planted~Secret"
"""A key that looks different once it is URL-encoded, JSON-escaped or in base64."""

PATIENCE = 60.0
"""Seconds until a process that should end counts as hanging."""

PROJECT = """\
version: 1
project: acme-blog
api: {{base_url: "{base_url}", requests_per_minute: 0}}
defaults: {{template: blog_article_generator, style: general_blog}}
{extra}
"""


def blog(*ids: str, topic: str = "All about {}") -> str:
    """A manifest with one item per id."""
    items = [f"  - {{id: {one}, inputs: {{topic: '{topic.format(one)}', target_audience: readers}}}}\n" for one in ids]
    return f"items:\n{''.join(items)}"


def tree(root: Path, folder: str = "out") -> dict[str, str]:
    """The outputs by path, without the time they were made at."""
    return {
        path.relative_to(root).as_posix(): re.sub(r"generated_at: .*", "", path.read_text(encoding="utf-8"))
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


_SERVE = """\
import pathlib, sys
from contentops.server.engines import named
from contentops.server.serve import ServeOptions, run
store, port, seconds = sys.argv[1:]
log = lambda line: print(line, file=sys.stderr, flush=True)
engine = named("outline")
run(ServeOptions(host="127.0.0.1", port=int(port), store=pathlib.Path(store), engine=engine, log=log,
                 stage_seconds=float(seconds)))
"""
"""A server whose stages last some time; it logs no requests."""


class Served:
    """The bundled server in a process of its own, with its store in a file; use it as a context manager."""

    def __init__(self, store: Path, *, stage_seconds: float = 0.0) -> None:
        self.store = store
        self.port = 0
        self._stage_seconds = stage_seconds
        self._child: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        """Where projects reach it; the same after a restart."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listens on the port of the last time, at first on a free one; returns once it does."""
        arguments = [str(each) for each in (self.store, self.port, self._stage_seconds)]
        child = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *arguments], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=unmeasured(),
        )  # fmt: skip
        self._child = child
        assert child.stderr is not None
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)/", child.stderr.readline())
        assert found is not None, child.stderr.read()
        self.port = int(found[1])

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(number)
        child.wait(timeout=PATIENCE)
        assert child.stderr is not None
        child.stderr.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)

    def charges(self, topic: str = "") -> list[str]:
        """The topic of every paid generation, sorted; of those that hold `topic`, where it is given."""
        rows = self._rows("SELECT request FROM jobs WHERE status = 'completed'")
        topics = sorted(str(json.loads(request)["inputs"]["topic"]) for (request,) in rows)
        return [one for one in topics if topic in one]

    def jobs(self, topic: str = "") -> list[str]:
        """The topic of every submit that was taken, sorted; of those that hold `topic`, where it is given."""
        topics = sorted(
            str(json.loads(request)["inputs"]["topic"]) for (request,) in self._rows("SELECT request FROM jobs")
        )
        return [one for one in topics if topic in one]

    def contents(self, title: str = "") -> list[str]:
        """The title of every stored content, sorted; of those that hold `title`, where it is given."""
        titles = sorted(str(found) for (found,) in self._rows("SELECT title FROM contents"))
        return [one for one in titles if title in one]

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.store, timeout=PATIENCE)) as database:
            return database.execute(statement).fetchall()


Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Scripted:
    """A loopback HTTP server that answers as `script` says: method, path, body in; an `Answer`, or None for silence.

    Use it as a context manager. `seen` holds every request: method, path, headers, body.
    """

    def __init__(self, script: Callable[[str, str, bytes], Answer | None]) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self._arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._mistakes: list[Exception] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its head

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.seen.append((self.command, self.path, dict(self.headers), body))
                outer._arrived.put(self.command)
                try:
                    found = script(self.command, self.path, body)
                except Exception as error:  # noqa: BLE001 - a mistake of the test's own, told where the test sees it
                    outer._mistakes.append(error)
                    found = 401, {}, b"{}"
                if found is None:
                    outer._closing.wait(PATIENCE)
                    self.close_connection = True
                    return
                status, headers, content = found
                self.send_response_only(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as http.server has it

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005})

    @property
    def base_url(self) -> str:
        """Where projects reach it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def wait(self, method: str) -> None:
        """Waits for a request of that method that was not waited for yet."""
        while self._arrived.get(timeout=PATIENCE) != method:
            pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._mistakes:
            raise self._mistakes[0]


class Applying:
    """A running `contentops apply`, whose events arrive as they happen."""

    def __init__(self, child: subprocess.Popen[bytes], events: IO[str]) -> None:
        self._child = child
        self._events = events
        self.seen: list[dict[str, Any]] = []

    def next(self, count: int = 1) -> bool:
        """Waits for `count` more events; False if it ended before."""
        for _ in range(count):
            line = self._events.readline()
            if not line.endswith("\n"):
                return False
            self.seen.append(json.loads(line))
        return True

    def until(self, kind: str, step: str = "") -> None:
        """Waits for an event of that kind, about that step if one is named."""
        while self.next():
            if (self.seen[-1]["kind"], step and self.seen[-1]["step"]) == (kind, step):
                return
        raise AssertionError(f"ended before `{kind} {step}`: {self.end()}")

    def froze(self) -> bool:
        """Waits until it has stopped itself; False if it ended before."""
        _, status = os.waitpid(self._child.pid, os.WUNTRACED)
        return os.WIFSTOPPED(status)

    def runs_for(self, seconds: float) -> bool:
        """Lets it run so long; whether it still does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=seconds)
        return self._child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._child.send_signal(number)

    def says(self, words: str) -> None:
        """Waits until a line on stderr holds `words`."""
        assert self._child.stderr is not None
        for line in self._child.stderr:
            if words in line.decode():
                return
        raise AssertionError(f"ended before it said `{words}`")

    @property
    def process(self) -> int:
        """Its process id."""
        return self._child.pid

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._child.kill()
        self._child.wait(timeout=PATIENCE)

    def end(self) -> Completed:
        """Waits until it has ended by itself."""
        out, err = self._child.communicate(timeout=PATIENCE)
        return Completed(self._child.returncode, out.decode(), err.decode())


def applying(
    root: Path, *arguments: str, key: str = KEY, env: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[Applying]:
    """Starts an apply that asks nothing; killed at the end if it still runs."""
    return started(root, "apply", "--yes", *arguments, key=key, env=env)


@contextlib.contextmanager
def started(root: Path, *arguments: str, key: str = KEY, env: Mapping[str, str] | None = None) -> Iterator[Applying]:
    """Starts a command that tells events; killed at the end if it still runs."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as events:  # noqa: PTH123 - a descriptor, not a path
        child = subprocess.Popen(
            [sys.executable, "-m", "contentops", *arguments, "--events", f"/dev/fd/{writing}"],
            cwd=root,
            env={**unmeasured(), "WRITERZROOM_API_KEY": key, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writing,),
            bufsize=0,  # what `says` leaves must be there for `end`
        )
        os.close(writing)
        with child:
            try:
                yield Applying(child, events)
            finally:
                child.kill()


_SIGNALS_ITSELF = """
import os, signal, sys, threading, time
from contentops.__main__ import main

number, counts, moment, *words = sys.argv[1:]
reading, writing = os.pipe()

def watch():
    left, seen = [int(count) for count in counts.split(",")], 0
    for line in os.fdopen(reading):
        seen += all(word in line for word in words)
        if left and seen == left[0]:
            del left[0]
            time.sleep(float(moment))
            signal.pthread_kill(threading.get_ident(), int(number))

threading.Thread(target=watch, daemon=True).start()
sys.exit(main(["apply", "--yes", "--events", f"/dev/fd/{writing}"]))
"""
"""An apply that signals itself: a test on a busy machine may hear of an event only when the apply has long ended."""


def _signals_itself(
    root: Path,
    number: signal.Signals,
    counts: Sequence[int],
    moment: float,
    words: Sequence[str],
    env: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SIGNALS_ITSELF, str(int(number)), ",".join(map(str, counts)), str(moment), *words],
        cwd=root, env={**unmeasured(), "WRITERZROOM_API_KEY": KEY, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def killed(root: Path, *words: str, count: int = 1, moment: float = 0.0, env: Mapping[str, str] | None = None) -> bool:
    """Run an apply that dies `moment` seconds after `count` events that hold all `words`; return whether it did."""
    with _signals_itself(root, signal.SIGKILL, [count], moment, words, env or {}) as child:
        child.communicate(timeout=PATIENCE)
    return child.returncode == -signal.SIGKILL


@contextlib.contextmanager
def freezing(
    root: Path, *counts: int, words: Sequence[str] = (), moment: float = 0.0, env: Mapping[str, str]
) -> Iterator[Applying]:
    """Starts an apply that freezes `moment` seconds after so many events that hold all `words`; killed at the end."""
    with _signals_itself(root, signal.SIGSTOP, counts, moment, words, env) as child:
        try:
            yield Applying(child, io.StringIO())
        finally:
            child.kill()

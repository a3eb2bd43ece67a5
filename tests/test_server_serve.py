"""The embedded server on a real loopback port, up to signals and the vendor's way of calling it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contentops.server.engines import named
from contentops.server.serve import ServeError, ServeOptions, run, serve
from tests.test_server_jobs import BODY

SUBMIT = {**BODY, "request_id": "r-1"}


def here(
    path: Path, log: Callable[[str], None], *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> ServeOptions:
    """The outline engine on a port of this machine, 0 for a free one."""
    return ServeOptions(host=host, port=port, store=path, engine=named("outline"), log=log, **options)


async def http(
    port: int, method: str, path: str, body: Any = None, *, host: str = "", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One request over a socket; gives status and decoded body."""
    headers = {"Host": host or f"127.0.0.1:{port}", **(headers or {})}
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - it is plain HTTP, and certificates take long
        reply = await client.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers)
    return reply.status_code, reply.json()


@contextlib.asynccontextmanager
async def listening(path: Path, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[tuple[int, list[str]]]:
    """The server on a free port of this loop."""
    stop, lines, heard = asyncio.Event(), list[str](), asyncio.Event()

    def log(line: str) -> None:
        lines.append(line)
        heard.set()

    task = asyncio.create_task(serve(here(path, log, host=host, **options), stop))
    waiting = asyncio.create_task(heard.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield int(lines[0].split("/v1")[0].rsplit(":", 1)[1]), lines
    finally:
        stop.set()
        await task


async def finished(port: int, job_id: str, **options: Any) -> Any:
    """The status of a job once it has ended."""
    while True:
        _, status = await http(port, "GET", f"/v1/generate/status/{job_id}", **options)
        if status["status"] in {"completed", "failed"}:
            return status


def test_a_job_over_a_socket_and_after_a_restart(tmp_path: Path) -> None:
    """Port 0 is announced with the real number; a text made before a restart is still there after it."""
    path = tmp_path / "store" / "db"

    async def main() -> None:
        async with listening(path) as (port, lines):
            assert lines == [f"listening on http://127.0.0.1:{port}/v1 (and http://127.0.0.1:{port}/api)"]
            status, reply = await http(port, "POST", "/v1/generate", SUBMIT)
            assert (status, reply["request_id"]) == (202, "r-1")
            done = await finished(port, "r-1")
        async with listening(path) as (port, _):
            assert await finished(port, "r-1") == done
            _, content = await http(port, "GET", f"/v1/content/{done['content']['id']}")
            assert content["content"] == done["content"]["body"]

    asyncio.run(main())


def test_only_loopback_names_are_answered_and_other_hosts_need_a_key(tmp_path: Path) -> None:
    """A name that was pointed at this machine gets nothing; a server that others can reach has a key, or no store."""
    path = tmp_path / "db"

    async def main() -> None:
        with pytest.raises(ServeError, match="set `CONTENTOPS_SERVE_KEY`"):
            async with listening(path, "0.0.0.0"):  # noqa: S104 - what is tested
                pass
        assert not path.exists()
        async with listening(path, "0.0.0.0", key="k-1") as (port, lines):  # noqa: S104 - what is tested
            assert lines == [f"listening on http://0.0.0.0:{port}/v1 (and http://0.0.0.0:{port}/api)"]
            assert (await http(port, "GET", "/v1/content"))[0] == 401
            allowed = {"Authorization": "Bearer k-1"}
            assert (await http(port, "GET", "/v1/content", host="any.example", headers=allowed))[0] == 200
        async with listening(path, key="k-1") as (port, _):
            assert (await http(port, "GET", "/v1/content"))[0] == 401
        async with listening(path) as (port, _):
            for host in ("localhost", f"LOCALHOST:{port}", "127.0.0.1", "[::1]:80"):
                status, _ = await http(port, "GET", "/v1/content", host=host)
                assert status == 200, host
            for host in ("evil.example", "localhost.evil.example", "[2001:db8::1]", "10.0.0.1:80"):
                status, reply = await http(port, "GET", "/v1/content", host=host)
                assert (status, reply["error"]["code"]) == (403, "forbidden"), host

    asyncio.run(main())


def test_requests_are_logged_without_secrets(tmp_path: Path) -> None:
    """One line each, in whatever way it ended: time, method, path, status, milliseconds; no key, no query, no escape."""
    logged: list[str] = []
    secret = "abcdef-123456"

    async def main() -> None:
        async with listening(tmp_path / "db", log_request=logged.append, key=secret) as (port, lines):
            allowed = {"Authorization": f"Bearer {secret}"}
            await http(port, "GET", "/v1/templates", headers=allowed)
            await http(port, "POST", "/v1/generate", SUBMIT, headers=allowed)
            await http(port, "GET", f"/v1/content/{secret}?key={secret}&page=1", headers=allowed)
            await http(port, "GET", "/v1/content/a%1b%5B2Jb%0Ac", headers=allowed)
            await http(port, "GET", "/v1/content", host="evil.example")
            assert len(lines) == 1

    asyncio.run(main())
    shape = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (\S+ \S+ \S+) \d+\.\d ms")
    matches = [shape.fullmatch(line) for line in logged]
    assert [match and match[1] for match in matches] == [
        "GET /v1/templates 200", "POST /v1/generate 202", "GET /v1/content/... 404",
        "GET /v1/content/a%1B%5B2Jb%0Ac 404", "GET /v1/content 403",
    ]  # fmt: skip


def test_requests_are_logged_to_stderr(tmp_path: Path, processes: None) -> None:
    """`contentops serve` says where it listens, then logs each request."""
    command = [sys.executable, "-m", "contentops", "serve", "--port", "0", "--store", str(tmp_path / "db")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port = int(process.stderr.readline().split("/v1")[0].rsplit(":", 1)[1])
    assert asyncio.run(http(port, "GET", "/v1/verticals"))[0] == 200
    process.terminate()
    _, rest = process.communicate()
    assert rest.count(" GET /v1/verticals 200 ") == len(rest.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(tmp_path: Path, number: signal.Signals, processes: None) -> None:
    """A served process that is told to stop ends with 0, prints nothing but its log line, and leaves no lock."""
    script = (
        "import logging, sys, pathlib\n"
        # A busy machine is told about as a slow callback, which is no warning.
        "logging.getLogger('asyncio').setLevel(logging.ERROR)\n"
        "from contentops.server.engines import named\n"
        "from contentops.server.serve import ServeOptions, run\n"
        "options = {'host': 'localhost', 'port': 0, 'engine': named('outline'), 'stage_seconds': 3600.0}\n"
        "log = lambda line: print(line, flush=True)\n"
        "run(ServeOptions(store=pathlib.Path(sys.argv[1]), log=log, **options))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", script, str(tmp_path / "db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    port = int(line.split("/v1")[0].rsplit(":", 1)[1])
    status, _ = asyncio.run(http(port, "POST", "/v1/generate", SUBMIT))
    assert status == 202
    os.kill(process.pid, number)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    assert not list((tmp_path / "db.runners").iterdir())


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", None), ("127.0.0.1", 99_999), ("127.0.0.1", -1), ("256.0.0.1", 0)]
)
def test_a_port_that_cannot_be_opened(tmp_path: Path, host: str, port: int | None) -> None:
    """A taken port, a port beyond the last and a host that is none are named with what to do, and no store is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1] if port is None else port
        with pytest.raises(ServeError, match="choose another with `--port` or `--host`"):
            run(here(tmp_path / "db", print, host=host, port=wanted, key="k-1"))
    assert not (tmp_path / "db").exists()

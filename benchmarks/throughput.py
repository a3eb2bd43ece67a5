"""Compare an apply without a request limit with a bare loop that sends the same requests.

    python benchmarks/throughput.py [--items 2000] [--runs 3] [--in-flight 64 4000]

Both send the same four requests for each item: a submit, a poll that finds the job running, a poll that returns the
text, and a save. Both send 32 requests at a time to the same server, which is a separate process, and write a file for
each item. Both use httpx transports with one connection each, because httpx's own pool is slower. If jobs take so long
that an apply polls them more often, the bare loop does so too. The bare loop has no plan, journal, checks or fsync.
Only the client's CPU time is measured, from the confirmed plan to the end. Jobs take as long as the client needs to
have `--in-flight` of them running. Memory per job compares the peaks of two applies of the same items, with few and
with many jobs in flight; a third apply has bodies that are ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXT = "## Introduction\n\n" + "A paragraph of plain words that stands for a real one. " * 80 + "\n"
AT_ONCE = 32
RATE = 250
"""Submits in a second that a client is expected to reach at most."""
FIRST = 16
"""Items of the apply before the one that is timed, from which it knows the server and how long its jobs take."""


async def serve() -> None:
    """Serve the API with canned replies, and print the port.

    In the address, the number before `/v1` is the milliseconds that a job takes, and the number before that is the
    length of its text. The first poll finds every job running.
    """
    jobs: dict[str, float] = {}
    polled: set[str] = set()

    def answer(path: str, body: bytes) -> dict[str, Any]:
        _, times, milliseconds, _ = path.split("/", 3)
        name = path.rsplit("/", 1)[1]
        if name == "generate":
            name = json.loads(body).get("request_id") or f"job-{len(jobs)}"
            jobs[name] = time.monotonic() + int(milliseconds) / 1000
            return {"request_id": name, "status": "pending"}
        if "/status/" in path:
            if name not in jobs:
                return {}
            if name not in polled or time.monotonic() < jobs[name]:
                polled.add(name)
                return {"request_id": name, "status": "processing", "progress": 50}
            content = {"title": f"T {name}", "body": TEXT * int(times)}
            return {"request_id": name, "status": "completed", "content": content}
        if name == "save":
            return {"success": True, "contentId": f"cnt-{time.monotonic_ns()}"}
        return {"content": [], "stats": {}}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while top := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = top.decode().split("\r\n")
                sizes = [line.split(":")[1] for line in lines if line.lower().startswith("content-length")]
                body = await reader.readexactly(int(sizes[0])) if sizes else b""
                found = answer(first.split(" ")[1], body)
                data = json.dumps(found or {"detail": "not found"}).encode()
                status = "200 OK" if found else "404 Not Found"
                said = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
                writer.write(said.encode() + data)
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the minimal server in a separate process, and yield its port."""
    command = [sys.executable, __file__, "--side", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def bare(address: str, items: int, in_flight: int, pauses: Sequence[float], folder: Path) -> None:
    """Send the requests of `items` items, write a file for each, and do nothing else."""
    import httpx

    context = httpx.create_ssl_context()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
    clients = [
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(verify=context, limits=limits), base_url=address)
        for _ in range(AT_ONCE)
    ]
    free: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
    for each in clients:
        free.put_nowait(each)
    places = asyncio.Semaphore(in_flight)

    async def ask(method: str, path: str, body: Any = None) -> Any:
        client = await free.get()
        try:
            return (await client.request(method, path, json=body)).json()
        finally:
            free.put_nowait(client)

    async def one(number: int) -> None:
        body = {"template_id": "blog", "inputs": {"topic": f"Topic {number}"}, "request_id": f"bare-{number}"}
        async with places:
            name = (await ask("POST", "/generate", body))["request_id"]
            found: dict[str, Any] = {}
            for pause in pauses:
                await asyncio.sleep(pause)
                found = await ask("GET", f"/generate/status/{name}")
        assert found["status"] == "completed", "the server was slower than it said"
        content = found["content"]
        (folder / f"{number}.md").write_text(content["body"])
        await ask("POST", "/content/save", {"title": content["title"], "content": content["body"]})

    begin = time.process_time()
    await asyncio.gather(*(one(number) for number in range(items)))
    report(time.process_time() - begin, 2.0 + len(pauses))
    for each in clients:
        await each.aclose()


def ours(address: str, items: int, in_flight: int, folder: Path) -> None:
    """Apply a few items first, then measure an apply of `items` new items."""
    settings = (
        f"version: 1\nproject: throughput\napi: {{base_url: '{address}', dialect: v1, "
        f"requests_per_minute: 0, max_in_flight: {in_flight}}}\ndefaults: {{template: blog, style: plain}}\n"
    )
    (folder / "contentops.yaml").write_text(settings)
    (folder / "content").mkdir()
    cpu, requests = 0.0, 0
    for count in (FIRST, FIRST + items):
        rows = "".join(f"  - id: item-{number:05d}\n    inputs: {{topic: Topic {number}}}\n" for number in range(count))
        (folder / "content" / "items.yaml").write_text(f"items:\n{rows}")
        _, cpu, requests = applied(folder)
    report(cpu, requests / items)


def applied(folder: Path) -> tuple[float, float, int]:
    """Return the CPU seconds of an apply before and after its plan is confirmed, and its number of requests."""
    from contentops.execution.primitives import Stop
    from contentops.operations import apply as apply_operation
    from contentops.operations import opening
    from contentops.operations.apply import ApplyOptions
    from contentops.planning.guards import Overrides
    from contentops.planning.sides import Choice

    confirmed: list[float] = []

    def confirm(_: Any) -> bool:
        forget_peak()
        confirmed.append(time.process_time())
        return True

    begin = time.process_time()
    options = ApplyOptions(overrides=Overrides(changes=True), stop=Stop())
    project = opening.open_project(str(folder), "", ())
    _, run = apply_operation.apply(project, Choice(), options, confirm=confirm, emit=lambda _: None)
    assert run is not None
    assert all(outcome.result == "done" for outcome in run.outcomes), run.message
    return confirmed[0] - begin, time.process_time() - confirmed[0], run.requests


def report(cpu: float, requests: float) -> None:
    """Print the CPU seconds, the requests per item, and the peak memory in the system's units."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(cpu, requests, peak)


def forget_peak() -> None:
    """Reset the peak of memory if the system can, because planning may need more memory than the run."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Side:
    """The apply or the bare loop, in a new process for each run. The loop sends as many requests as `like` did."""

    def __init__(
        self, name: str, port: int, items: int, in_flight: int, *, times: int = 1, like: Side | None = None
    ) -> None:
        self.name, self.items, self.took = name, items, min(items, in_flight) / RATE + 0.1
        self.address = f"http://127.0.0.1:{port}/{times}/{round(self.took * 1000)}/v1"
        self.asked = [str(items), "--in-flight", str(in_flight)]
        self._like = like
        self.requests = 4.0
        """The requests per item in the last run."""

    def __call__(self) -> timing.Spent:
        """Return CPU milliseconds per item (not seconds), wall seconds of the process, and peak memory in MB."""
        polls = max(2, round((self._like or self).requests) - 2)
        pauses = [str(self.took / (polls - 1))] * (polls - 1) + ["0.05"]
        command = [sys.executable, __file__, "--side", self.name, "--address", self.address, "--items", *self.asked]
        command += ["--pauses", *pauses]
        begin = time.perf_counter()
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            raise SystemExit(found.stderr)
        cpu, self.requests, peak = map(float, found.stdout.split())
        return timing.Spent(cpu / self.items * 1000, time.perf_counter() - begin, peak / timing.MB)


def compare(port: int, items: int, runs: int, in_flight: list[int]) -> None:
    """Compare an apply with the bare loop for each number of jobs in flight, and print the table."""
    few, many = min(in_flight), max(in_flight)
    timing.head()
    found: dict[int, timing.Spent] = {}
    for jobs in in_flight:
        count = max(items, jobs)
        ours = Side("ours", port, count, jobs)
        bare = Side("bare", port, count, jobs, like=ours)
        taken = timing.interleaved({"ours": ours, "bare": bare}, runs if jobs == few else 1)
        found[jobs] = taken["ours"]
        timing.row(
            f"CPU time per item, {count:,} items, {jobs:,} jobs in flight",
            f"{taken['ours'].cpu:.2f} ms ({ours.requests:.2f} requests)",
            f"{taken['bare'].cpu:.2f} ms, the bare loop ({bare.requests:.2f} requests)",
            taken["ours"].cpu / taken["bare"].cpu,
            1.5,
        )
    timing.row(f"CPU ms per item, {few:,} jobs in flight", f"{found[few].cpu:.2f} ms", "", found[few].cpu, 3.5)
    flat = found[many].cpu / found[few].cpu
    timing.row(
        f"CPU time per item, {many:,} jobs in flight against {few:,}",
        f"{found[many].cpu:.2f} ms",
        f"{found[few].cpu:.2f} ms",
        flat,
        1.5,
    )
    count = max(items, many)
    small, long = Side("ours", port, count, few)(), Side("ours", port, count, many, times=10)()
    for what, peak in (("", found[many].peak), (f", bodies of {len(TEXT) // 100} KB", long.peak)):
        each = (peak - small.peak) * 1024 / max(1, many - few)
        shown, floor = f"{peak:.0f} MB at {many:,}", f"{small.peak:.0f} MB at {few:,}"
        timing.row(f"KB of memory per job in flight{what}", shown, floor, each, 20)


def main() -> None:
    """Run one side if the options name it; otherwise run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 4000])
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--pauses", type=float, nargs="+", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "serve":
        asyncio.run(serve())
    elif options.side:
        sys.path.insert(0, str(timing.ROOT))
        jobs = options.in_flight[0]
        with timing.scratch() as folder:
            if options.side == "bare":
                asyncio.run(bare(options.address, options.items, jobs, options.pauses, folder))
            else:
                ours(options.address, options.items, jobs, folder)
    else:
        with serving() as port:
            compare(port, options.items, options.runs, options.in_flight)


if __name__ == "__main__":
    main()

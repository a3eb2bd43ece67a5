"""CPU time per item where no limit binds: the whole apply against the bare loop of its requests.

    python benchmarks/throughput.py [--items 1000] [--runs 3]

Both sides speak to the same server in a process of its own: submit, poll until done, save, and write a file. The bare
loop has no journal, no fsync, no plan and no checks: httpx over one-connection transports (its own pool is slower), 32
at a time. Printed are medians of CPU milliseconds per item, of this process alone, and the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TEXT = "## Introduction\n\n" + "A paragraph of plain words that stands for a real one. " * 80 + "\n"
AT_ONCE = 32
SECONDS = 0.3


async def serve() -> None:
    """A server that does nothing but answer: jobs are done `SECONDS` after their submit."""
    jobs: dict[str, float] = {}

    def answer(path: str, body: bytes) -> dict[str, Any]:
        if path.endswith("/generate"):
            name = json.loads(body).get("request_id") or f"job-{len(jobs)}"
            jobs[name] = time.monotonic()
            return {"request_id": name, "status": "pending"}
        if "/status/" in path:
            name = path.rsplit("/", 1)[1]
            if name not in jobs:
                return {}
            if time.monotonic() - jobs[name] < SECONDS:
                return {"request_id": name, "status": "processing", "progress": 50}
            return {"request_id": name, "status": "completed", "content": {"title": f"T {name}", "body": TEXT}}
        if path.endswith("/save"):
            return {"success": True, "contentId": f"cnt-{len(jobs)}-{time.monotonic_ns()}"}
        return {"content": [], "stats": {}}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                sizes = [line.split(":")[1] for line in lines if line.lower().startswith("content-length")]
                body = await reader.readexactly(int(sizes[0])) if sizes else b""
                _, path, _ = first.split(" ")
                found = answer(path, body)
                data = json.dumps(found or {"detail": "not found"}).encode()
                status = "200 OK" if found else "404 Not Found"
                top = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
                writer.write(top.encode() + data)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def bare(port: int, items: int, folder: Path) -> None:
    """The requests of `items` items and a written file each, and nothing else."""
    import httpx

    context = httpx.create_ssl_context()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
    clients = [
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(verify=context, limits=limits), base_url=f"http://127.0.0.1:{port}/v1"
        )
        for _ in range(AT_ONCE)
    ]
    free: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
    for each in clients:
        free.put_nowait(each)

    async def ask(method: str, path: str, body: Any = None) -> Any:
        client = await free.get()
        try:
            return (await client.request(method, path, json=body)).json()
        finally:
            free.put_nowait(client)

    async def one(number: int) -> None:
        body = {"template_id": "blog", "inputs": {"topic": f"Topic {number}"}, "request_id": f"bare-{number}"}
        name = (await ask("POST", "/generate", body))["request_id"]
        await asyncio.sleep(SECONDS * 0.7)
        while (found := await ask("GET", f"/generate/status/{name}"))["status"] != "completed":  # noqa: ASYNC110 - polled, as the API is
            await asyncio.sleep(SECONDS * 0.5)
        content = found["content"]
        (folder / f"{number}.md").write_text(content["body"])
        await ask("POST", "/content/save", {"title": content["title"], "content": content["body"]})

    await asyncio.gather(*(one(number) for number in range(items)))
    for each in clients:
        await each.aclose()


def project(port: int, items: int, folder: Path) -> None:
    """A project whose items are all new."""
    (folder / "contentops.yaml").write_text(
        f"version: 1\nproject: throughput\napi: {{base_url: 'http://127.0.0.1:{port}/v1', dialect: v1, "
        "requests_per_minute: 0, max_in_flight: 5000}\ndefaults: {template: blog, style: plain}\n"
    )
    (folder / "content").mkdir()
    rows = "".join(f"  - id: item-{number:05d}\n    inputs: {{topic: Topic {number}}}\n" for number in range(items))
    (folder / "content" / "items.yaml").write_text(f"items:\n{rows}")


def ours(port: int, items: int, folder: Path) -> None:
    """The whole apply."""
    from contentops.operations import apply as apply_operation
    from contentops.operations import workspace
    from contentops.operations.apply import ApplyOptions
    from contentops.planning.inputs import Choice

    project(port, items, folder)
    _, run = apply_operation.apply(
        workspace.open_project(str(folder), "", ()),
        Choice(),
        ApplyOptions(),
        confirm=lambda _: True,
        emit=lambda _: None,
    )
    assert run is not None
    assert all(outcome.result == "done" for outcome in run.outcomes), run.message
    print(f"requests per item: {run.requests / items:.2f}", file=sys.stderr)


def measure(side: str, port: int, items: int) -> tuple[float, float]:
    """CPU milliseconds per item and items per second of one side, in a fresh process."""
    code = f"import sys; sys.argv[1:] = ['--side', '{side}', '--port', '{port}', '--items', '{items}']; "
    code += f"import runpy; runpy.run_path({str(Path(__file__))!r}, run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.stderr)
    cpu, wall = found.stdout.split()
    return float(cpu) / items * 1000, items / float(wall)


def run_side(side: str, port: int, items: int) -> None:
    """One side in this process; prints CPU and wall seconds."""
    memory = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        if side == "bare":
            asyncio.run(bare(port, items, folder))
        else:
            ours(port, items, folder)
        print(time.process_time() - cpu, time.perf_counter() - begin)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", default="")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.side == "serve":
        asyncio.run(serve())
    elif options.side:
        run_side(options.side, options.port, options.items)
    else:
        with subprocess.Popen(
            [sys.executable, __file__, "--side", "serve"], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            try:
                found = {
                    side: [measure(side, port, options.items) for _ in range(options.runs)] for side in ("bare", "ours")
                }
            finally:
                server.kill()
        for side, figures in found.items():
            cpu, rate = (statistics.median(each) for each in zip(*figures, strict=True))
            print(f"{side:>5}: {cpu:6.2f} ms CPU per item, {rate:6.0f} items/s")
        medians = {side: statistics.median(cpu for cpu, _ in figures) for side, figures in found.items()}
        print(f"ratio: {medians['ours'] / medians['bare']:.2f}")


if __name__ == "__main__":
    main()

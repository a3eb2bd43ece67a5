"""Scripts on a real terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path


def on_a_terminal(script: str, typed: bytes, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a script prints when it runs on a terminal and a person types `typed`."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm", **(env or {})}, cwd=cwd, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    os.write(leader, typed)
    seen = b""
    try:
        while part := os.read(leader, 4096):
            seen += part
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(leader)
    child.wait(timeout=30)
    return seen.decode().replace("\r\n", "\n")

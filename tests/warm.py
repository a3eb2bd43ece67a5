"""`contentops` for shell scripts of tests, as a fork of a process that has loaded it: most of a start is loading.

All else is as if it were started anew: arguments, folder, environment, streams, exit code, and a process of its own.
Only a signal to the command does not reach it, so `serve`, which is ended by one, is really started.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# Without `os` and `socket`, loading which is half of its time.
CLIENT = """\
import _socket, posix, sys
server = _socket.socket(_socket.AF_UNIX)
server.connect(sys.argv[1])
words = [word.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()) for word in sys.argv[2:]]
parts = [posix.getcwdb(), b"%d" % len(words), *words]
parts += [name + b"=" + value for name, value in posix.environ.items()]
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([b"\\0".join(parts)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.shutdown(_socket.SHUT_WR)
said = b"".join(iter(lambda: server.recv(9), b""))
posix._exit(int(said or b"70"))
"""


@functools.cache
def script() -> str:
    """A shell script that is `contentops`."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address, client = Path(folder.name) / "socket", Path(folder.name) / "client.py"
    client.write_text(CLIENT)
    command = [sys.executable, "-m", "tests.warm", str(address)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    atexit.register(folder.cleanup)
    atexit.register(child.wait)
    atexit.register(child.stdin.close)
    cold = shlex.join([sys.executable, "-m", "contentops"])
    warm = shlex.join([sys.executable, "-ISE", str(client), str(address)])
    return f'#!/bin/sh\ncase " $* " in *" serve "*) exec {cold} "$@";; esac\nexec {warm} "$@"\n'


def _serve(address: str) -> None:
    """Forks for each command, until stdin ends."""
    for name in _loaded_by_an_apply():
        # Some are loaded by their packages alone, under names of their own.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # else each fork would copy what its collector looks at
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run(connection)
            connection.close()
    os._exit(0)  # what is measured is measured in the forks


def _loaded_by_an_apply() -> list[str]:
    """The modules that every command, and a first apply, load; looked up in a fork, so that nothing else of it stays."""
    out, into = os.pipe()
    if os.fork() == 0:
        from contentops.__main__ import main
        from contentops.cli.entry import COMMANDS, cli

        for name in COMMANDS:
            cli.get_command(None, name)  # type: ignore[arg-type]
        silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with tempfile.TemporaryDirectory(prefix="warm-") as folder, silent[0], silent[1]:
            main(["init", folder])
            main(["-C", folder, "apply", "--yes"])
        os.write(into, " ".join(sys.modules).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as names:
        return names.read().split()


def _run(connection: socket.socket) -> None:
    from contentops.__main__ import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    data += b"".join(iter(lambda: connection.recv(1 << 20), b""))
    folder, count, *rest = data.split(b"\0")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(tuple(one.split(b"=", 1)) for one in rest[int(count) :])  # type: ignore[misc]
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: PTH123, SIM115
    sys.__stdout__ = sys.stdout  # type: ignore[assignment,misc]
    code = main([os.fsdecode(one) for one in rest[: int(count)]])
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(b"%d" % code)
    atexit._run_exitfuncs()
    # What is left of an exit takes the interpreter down module by module, which shows in nothing and takes long.
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])

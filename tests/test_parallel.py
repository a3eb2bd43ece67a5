"""What is shared out among processes is what a loop makes, whatever becomes of them, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.parallel import distribute, processors
from tests.running import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = [
    pytest.mark.skipif(processors() < 2, reason="all is done in one process here"),
    # Those who run tests side by side have a thread of their own, which holds no lock of ours.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
HERE = os.getpid()


def _shared(parts: Sequence[str], work: Callable[[str], str], processes: int = 3) -> list[tuple[str, str]]:
    taken: list[tuple[str, str]] = []
    distribute(parts, work, lambda part, text: taken.append((part, text)), processes=processes, weight=len)
    return taken


def _elsewhere() -> bool:
    return os.getpid() != HERE


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@settings(max_examples=examples(10))
@given(parts=st.lists(st.text(max_size=5), max_size=12), processes=st.integers(0, 6), long=st.booleans())
def test_texts_come_in_order(parts: list[str], processes: int, long: bool) -> None:
    """Any parts, any number of processes, texts that are empty or longer than a pipe holds."""
    times = 20_000 if long else 1
    assert _shared(parts, lambda part: part * times, processes) == [(part, part * times) for part in parts]


def test_where_no_file_can_be_opened_all_is_done_here() -> None:
    """A process that cannot be made costs time alone."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        taken = _shared(list("abcd"), lambda part: f"{part} {os.getpid()}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert taken == [(part, f"{part} {HERE}") for part in "abcd"]


def test_others_do_the_work() -> None:
    """All but the first part, each process as much as the others; all of them are gone afterwards."""
    taken = _shared(["", *["long" * 9, "x"] * 12], lambda part: f"{os.getpid()} {len(part)}")
    (first, _), *others = [map(int, text.split()) for _, text in taken]
    assert first == HERE
    weights: dict[int, int] = {}
    for process, weight in others:
        weights[process] = weights.get(process, 0) + weight
    assert HERE not in weights
    assert len(weights) == 3
    assert max(weights.values()) - min(weights.values()) <= len("long" * 9)
    assert all(map(_is_gone, weights))


def _killed(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raising(_: str) -> None:
    raise MemoryError


def _ending(_: str) -> None:
    sys.exit(3)


@pytest.mark.parametrize("fail", [_killed, _raising, _ending])
@pytest.mark.parametrize("when", ["1", "4", "6"])
def test_what_a_process_fails_at_is_done_here(fail: Callable[[str], None], when: str) -> None:
    """Its other parts too, and the texts are the same."""

    def work(part: str) -> str:
        if part == when and _elsewhere():
            fail(part)
        return part * 100_000

    parts = [*"0123456789"]
    assert _shared(parts, work) == [(part, part * 100_000) for part in parts]


def test_what_is_wrong_with_a_part_is_told() -> None:
    """As a loop would: once those before it are taken. No process is left."""
    taken: list[str] = []
    seen: list[int] = []

    def work(part: str) -> str:
        if part == "5":
            message = "five"
            raise ValueError(message)
        return str(os.getpid())

    def take(part: str, text: str) -> None:
        taken.append(part)
        seen.append(int(text))

    with pytest.raises(ValueError, match="five"):
        distribute([*"0123456789"], work, take, processes=3, weight=len)
    assert taken == [*"01234"]
    assert all(_is_gone(process) for process in seen if process != HERE)


def test_who_takes_may_stop() -> None:
    """Processes that still work, or wait to be heard, are ended at once."""
    seen: list[int] = []

    def work(part: str) -> str:
        if part > "3" and _elsewhere():
            signal.pause()
        return f"{os.getpid()} {part * 200_000}"

    def take(part: str, text: str) -> None:
        seen.append(int(text.split(maxsplit=1)[0]))
        if part == "3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distribute([*"0123456789"], work, take, processes=3, weight=len)
    assert len(seen) == 4
    assert all(map(_is_gone, seen[1:]))


def test_beside_a_thread_all_is_done_here() -> None:
    """A fork would leave the thread's locks taken for ever."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert {text for _, text in _shared([""] * 7, lambda _: str(os.getpid()))} == {str(HERE)}
    finally:
        end.set()
        thread.join()


PROGRAM = """
import os, signal, sys
from contentops.parallel import distribute
def work(part):
    if not part or part > 3:
        return ""
    os.write(1, b"%d\\n" % part)
    return signal.pause() if sys.argv[1] != "busy" else ""
handler = (lambda *_: sys.exit(7)) if sys.argv[1] == "handled" else signal.default_int_handler
signal.signal(signal.SIGINT, handler)
distribute(range(10**6), work, lambda *_: None, processes=3, weight=bool)
"""


@pytest.mark.parametrize(
    ("how", "send", "code"),
    [
        ("", signal.SIGINT, -signal.SIGINT),
        ("handled", signal.SIGINT, 7),
        ("busy", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_all_end_together(how: str, send: signal.Signals, code: int) -> None:
    """Ctrl-C reaches every process of a terminal's job; a parent that is killed is not heard by any, nor hears them."""
    command = [sys.executable, "-c", PROGRAM, how]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        assert {program.stdout.readline() for _ in range(3)} == {"1\n", "2\n", "3\n"}
        (os.kill if send == signal.SIGKILL else os.killpg)(program.pid, send)
        # The end of what they print is the end of all of them.
        assert program.communicate(timeout=60)[0] == ""
        assert program.returncode == code

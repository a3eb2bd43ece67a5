"""Paths that could leave the project, or hide in it, are refused before the disk is touched."""

from __future__ import annotations

import errno

import pytest

from contentops.documents.folders import explained, reason
from contentops.documents.paths import split_path
from contentops.errors import OutputError


@pytest.mark.parametrize(
    "path", ["a.md", "out/a.md", "out/deep/er/a", "out/a b (1).md", "out/ümläut 日本.md", "out/a..b"]
)
def test_allowed(path: str) -> None:
    """Ordinary relative paths are split at their slashes."""
    assert "/".join(split_path(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("../a.md", id="above"),
        pytest.param("out/../../a.md", id="above in the middle"),
        pytest.param("out/./a.md", id="dot"),
        pytest.param("out//a.md", id="empty segment"),
        pytest.param("out/", id="trailing slash"),
        pytest.param("out\\a.md", id="backslash"),
        pytest.param("C:/a.md", id="drive"),
        pytest.param("a.md:stream", id="alternate stream"),
        pytest.param("out/a\x00.md", id="nul"),
        pytest.param("out/\x1b[2J.md", id="terminal escape"),
        pytest.param("out/a\n.md", id="line feed"),
        pytest.param("out/\u202egpj.md", id="direction override"),
        pytest.param("out/\ud800.md", id="lone surrogate"),
        pytest.param(".git/config", id="hidden folder"),
        pytest.param("Git~1/config", id="short name of a hidden folder"),
        pytest.param("out/.htaccess", id="hidden file"),
        pytest.param("out/.contentops-0123456789abcdef.tmp", id="half-written file"),
        pytest.param(".contentops-0123456789abcdef.moving/a", id="parked file as a folder"),
    ],
)
def test_refused(path: str) -> None:
    """Whatever could leave the root, deceive, or hide is refused, in a message that is safe to print."""
    with pytest.raises(OutputError, match="is not allowed") as caught:
        split_path(path)
    assert caught.value.code == "unsafe-path"
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("number", "why"),
    [
        pytest.param(errno.ENOSPC, "no space is left on the disk", id="full"),
        pytest.param(errno.EACCES, "permission is denied", id="denied"),
        pytest.param(errno.EROFS, "the file system is read-only", id="read-only"),
        pytest.param(errno.EIO, "input/output error", id="other"),
        pytest.param(None, "unknown error", id="no number"),
    ],
)
def test_errors_are_explained(number: int | None, why: str) -> None:
    """What the system refuses is told with the path and the reason, without a traceback's words."""
    with pytest.raises(OutputError) as caught, explained("out/\x1ba.md", "written"):
        raise OSError(number, "x") if number else OSError("x")
    assert caught.value.message == f"`out/\\x1ba.md` cannot be written: {why}"
    assert reason(OSError(errno.ENOSPC, "x"))[1]

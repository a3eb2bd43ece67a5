"""The cache: paid texts, server texts last seen, learned job durations, stamps of files. Deleting it loses no fact.

A text is kept once, by its body digest. A row per paid text says where it came from: the last one of a request by the
digest of the request, the earlier ones by the digests of request and body.

The cache is a diskcache folder with everything in SQLite rows. Nothing here can unpickle: a read-only connection
accepts only rows of plain text, and the `Disk` that writes refuses everything else. A cache that cannot be read answers
None and sets `problem`; only a paid text that cannot be kept is an error.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
from msgspec import structs

from contentops.digest import Digest, canonical
from contentops.documents.clean import body_digest
from contentops.errors import StateError
from contentops.json_reader import decode_json
from contentops.model import text_digest
from contentops.state import state_dir
from contentops.state.paid_texts import KeptText, StoredText, body_of, read_row, row_of, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    import diskcache

    from contentops.model import Json
    from contentops.state.shared import SharedTexts

_T = TypeVar("_T")

_DATABASE = "cache.db"
_RAW = 1
"""diskcache's mode of a value that is stored as it is."""
_BUSY = 30.0
"""Seconds to wait for another process that writes."""
_PENDING = 8 << 20
"""Characters of buffered values after which they are written."""
_BY_KEY = "SELECT key, mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
_BY_PREFIX = "SELECT key, mode, filename, value FROM Cache WHERE key >= ? AND key < ? AND raw = 1"
_KEEP = 4
"""How many generations of values that only save time are kept."""


class Cache:
    """The cache in `folder`, for one thread. Without `write` nothing is made or changed, not even the folder.

    `problem` says why the cache could not be used; empty while it can.
    """

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self.folder = folder
        self.problem = ""
        self.shared: SharedTexts | None = None
        """What a ledger shares with other machines."""
        self._write = write
        self._reader: sqlite3.Connection | None = None
        self._writer: diskcache.Cache | None = None
        self._pending: dict[str, str] = {}
        self._pending_size = 0
        self._touched: set[str] = set()

    # --- paid texts ----------------------------------------------------------------------------------------

    def get_text(self, server: str, digest: Digest, request_id: str = "") -> StoredText | None:
        """The last paid text for a request, or that of one submit if `request_id` names it; None: there is none."""
        own = self.own_text(server, digest)
        if own is not None and request_id in ("", own.request_id):
            return own
        return None if self.shared is None else self.shared.text(server, digest, request_id)

    def own_text(self, server: str, digest: Digest) -> StoredText | None:
        """As `get_text`, but without texts that other checkouts share."""
        row = read_row(self._get(_key("text", server, digest)))
        body = None if row is None else row.body or self._own_body(row.kept)
        return None if row is None or body is None else text_of(row, body)

    def put_text(self, server: str, digest: Digest, text: StoredText) -> None:
        """Store a paid text beside the earlier ones of its request; durable on return. Raises StateError."""
        key, body = _key("text", server, digest), body_digest(text.body)
        rows = {key: row_of(text, body), _key("body", body): text.body}
        if (row := read_row(self._get(key))) is not None and body_of(row) != body:
            before = body_of(row)
            rows[_key("earlier", server, digest, before)] = row_of(row, before)
            if row.body:
                rows[_key("body", before)] = row.body
        words = self._set(rows)
        if words:
            message = f"the paid text of item `{text.item}` cannot be written to the cache: {words}"
            hint = f"make room, or delete {self.folder}, and run `contentops apply` again"
            raise StateError(message, code="text-not-kept", hint=hint)
        if self.shared is not None:
            self.shared.put_text(server, digest, text)

    def paid_texts(self) -> tuple[KeptText, ...]:
        """Every paid text of all items and servers, without its body; the earlier ones of a request first."""
        texts: dict[tuple[str, str, str], KeptText] = {}
        for kind in ("earlier", "text"):
            for key, value in self._rows(_key(kind, "")):
                row, (_, server, digest, *_) = read_row(value), [*key.split(" "), "", ""]
                if row is not None:
                    # A text that came again is known by the later of its rows.
                    body = body_of(row)
                    texts.pop((server, digest, body), None)
                    texts[server, digest, body] = KeptText(
                        row=key, server=server, digest=Digest(digest), body=body, about=text_of(row, "")
                    )
        return tuple(texts.values())

    def give_up(self, server: str, digest: Digest, request_id: str) -> None:
        """Mark the paid text of a submit as given up; the text before it becomes the last one of its request.

        `get_text` finds a given-up text by its request id alone. Raises StateError.
        """
        key = _key("text", server, digest)
        row = read_row(self._get(key))
        if row is not None and row.request_id == request_id:
            last = structs.replace(row, given_up=True)
            rows = map(read_row, (value for _, value in self._rows(_key("earlier", server, digest, ""))))
            usable = [earlier for earlier in rows if earlier is not None and not earlier.given_up]
            before = max(usable, key=lambda earlier: earlier.generated_at, default=None)
            changed = {key: row_of(before or last, body_of(before or last))}
            if before is not None:
                changed[_key("earlier", server, digest, body_of(last))] = row_of(last, body_of(last))
            if row.body:
                changed[_key("body", body_of(row))] = row.body
            if words := self._set(changed):
                raise StateError(f"the cache cannot be changed: {words}", code="cache-not-changed")
        if self.shared is not None and (text := self.shared.text(server, digest, request_id)) is not None:
            self.shared.put_text(server, digest, structs.replace(text, given_up=True))

    def drop_texts(self, gone: Collection[KeptText]) -> None:
        """Delete paid texts, and each body that no other text has. Raises StateError."""
        rows = {text.row for text in gone}
        bodies = {text.body for text in gone} - {text.body for text in self.paid_texts() if text.row not in rows}
        if words := self._set({}, drop=[*rows, *(_key("body", body) for body in bodies)]):
            raise StateError(f"texts cannot be deleted from the cache: {words}", code="cache-not-changed")

    def body(self, digest: Digest) -> str | None:
        """The stored text with a body digest (a job made it, a person saved it, or a server had it), or None."""
        own = self._own_body(digest)
        return own if own is not None or self.shared is None else self.shared.body(digest)

    def _own_body(self, digest: Digest) -> str | None:
        body = self._get(_key("body", digest))
        return body if body is not None and body_digest(body) == digest else None

    def keep_body(self, digest: Digest, body: str) -> None:
        """Store a text by its body digest, as the base of a later merge."""
        self._set({_key("body", digest): body})

    def decided(self, text: Digest) -> tuple[str, str] | None:
        """The title and body of a text that a person approved or sent back, by the digest of that; or None."""
        kept = _parsed(self._get(_key("decided", text)), tuple[str, str])
        return kept if kept is not None and text_digest(kept[0], body_digest(kept[1])) == text else None

    def keep_decided(self, title: str, body: str) -> None:
        """Store a text that a person approved or sent back: no commit may have its words."""
        self._set({_key("decided", text_digest(title, body_digest(body))): canonical([title, body])})

    def server_text(self, server: str, content_id: str) -> str | None:
        """The body the server last gave back for a content id: the base of a merge."""
        return self._get(_key("server", server, content_id))

    def put_server_text(self, server: str, content_id: str, body: str) -> None:
        """Remember the body of a content on the server."""
        self._set({_key("server", server, content_id): body})

    def durations(self) -> Mapping[str, Json]:
        """How long jobs took, as `put_durations` stored it; empty at first."""
        return self._learned("durations")

    def put_durations(self, learned: Mapping[str, Json]) -> None:
        """Remember how long jobs take."""
        self._learn("durations", learned)

    def server_facts(self, server: str) -> Mapping[str, Json]:
        """What is known of how a server behaves, as `put_server_facts` stored it; empty at first."""
        return self._learned(_key("facts", server))

    def put_server_facts(self, server: str, facts: Mapping[str, Json]) -> None:
        """Remember how a server behaves."""
        self._learn(_key("facts", server), facts)

    def _learned(self, name: str) -> Mapping[str, Json]:
        own = _parsed(self._get(name), dict[str, Any]) or {}
        return own if self.shared is None else {**own, **self.shared.fact(name)}

    def _learn(self, name: str, value: Mapping[str, Json]) -> None:
        self._set({name: canonical(dict(value))})
        if self.shared is not None:
            self.shared.put_fact(name, value)

    def seen(self, server: str) -> Mapping[str, Json]:
        """The contents last seen on a server, by id, as `put_seen` stored them; empty at first."""
        return _parsed(self._get(_key("seen", server)), dict[str, Any]) or {}

    def put_seen(self, server: str, seen: Mapping[str, Json]) -> None:
        """Remember the contents seen on a server, by their ids. Not shared, as their texts are not."""
        self._set({_key("seen", server): canonical(dict(seen))})

    def looked(self, server: str) -> dict[str, tuple[str, str | None]]:
        """By content id, its last change as it was read and the request of its text; empty at first."""
        return _parsed(self._get(_key("looked", server)), dict[str, tuple[str, str | None]]) or {}

    def put_looked(self, server: str, looked: Mapping[str, tuple[str, str | None]]) -> None:
        """Remember, by content id, its last change as it was read and the request of its text."""
        self._set({_key("looked", server): canonical({key: list(value) for key, value in looked.items()})})

    # --- what only saves time ------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        """A value that only saves time, such as the stamps of files."""
        key = _key("saved", key)
        self._touched.add(key)
        pending = self._pending.get(key)
        return pending if pending is not None else self._get(key)

    def put(self, key: str, value: str) -> None:
        """Remember a value that only saves time; written together with others, at the latest by `close`."""
        if not self._write:
            return
        key = _key("saved", key)
        self._touched.add(key)
        self._pending[key] = value
        self._pending_size += len(value)
        if self._pending_size > _PENDING:
            self._write_pending()

    def close(self) -> None:
        """Write what is buffered and close the files."""
        if self._pending:
            self._write_pending()
            self._prune()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write_pending(self) -> None:
        self._set(self._pending)
        self._pending, self._pending_size = {}, 0

    def _prune(self) -> None:
        """Delete values that were not read this time, once they are most of all."""
        keys = self._keys(_key("saved", ""))
        if len(keys) > _KEEP * len(self._touched):
            self._set({}, drop=[key for key in keys if key not in self._touched])

    # --- reading -------------------------------------------------------------------------------------------

    def _get(self, key: str) -> str | None:
        return next((value for name, value in self._plain(_BY_KEY, key) if name == key), None)

    def _rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        # Keys are compared as text, so all that start with the prefix are neighbours in the index.
        return self._plain(_BY_PREFIX, prefix, prefix + "\U0010ffff")

    def _plain(self, sql: str, *values: str) -> Iterator[tuple[str, str]]:
        for key, mode, filename, value in self._query(sql, values):
            if mode == _RAW and filename is None and type(value) is str and type(key) is str:
                yield key, value
            else:
                self._fail("a row is not plain text, so another program wrote it")

    def _keys(self, prefix: str) -> list[str]:
        rows = self._query(
            "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1", (prefix, prefix + "\U0010ffff")
        )
        return [key for (key,) in rows if type(key) is str and key.startswith(prefix)]

    def _query(self, sql: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        try:
            reader = self._open_reader()
            return [] if reader is None else reader.execute(sql, values).fetchall()
        except (sqlite3.Error, OSError, StateError, ValueError) as error:
            if "no such table" not in str(error):  # nothing was written yet
                self._fail(_words(error))
            return []

    def _open_reader(self) -> sqlite3.Connection | None:
        if self._reader is not None:
            return self._reader
        state_dir.inspect_folder(self.folder)
        database = self.folder / _DATABASE
        if not database.is_file():
            return None
        where = f"{database.absolute().as_uri()}?mode=ro"
        quiet = not (self.folder / f"{_DATABASE}-wal").exists()
        if quiet and not (self._write and os.access(self.folder, os.W_OK)):
            # No process has it open: read it without creating the side files of a shared reader.
            where += "&immutable=1"
        self._reader = sqlite3.connect(where, uri=True, timeout=_BUSY, isolation_level=None)
        return self._reader

    # --- writing -------------------------------------------------------------------------------------------

    def _set(self, values: Mapping[str, str], *, drop: Iterable[str] = ()) -> str:
        """Change rows in one transaction; returns why that failed, or an empty text."""
        if not self._write:
            return "it was opened for reading only"
        from contentops.state.text_disk import ERRORS

        try:
            writer = self._open_writer()
            with writer.transact():
                for key, value in values.items():
                    writer.set(key, value)
                for key in drop:
                    writer.delete(key)
        except ERRORS as error:
            self._release()
            return self._fail(_words(error))
        if (self.folder / _DATABASE).exists():
            return ""
        self._release()
        return self._fail("it was deleted while it was in use")

    def _open_writer(self) -> diskcache.Cache:
        if self._writer is None:
            from contentops.state import text_disk

            state_dir.make_folder(self.folder)
            database = self.folder / _DATABASE
            with contextlib.suppress(FileExistsError):
                # Created here to be owner-only; SQLite gives its side files the same mode.
                os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._writer = text_disk.open_writer(self.folder, database, _BUSY)
        return self._writer

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            from contentops.state.text_disk import ERRORS

            with contextlib.suppress(*ERRORS):
                self._writer.close()
        self._reader = self._writer = None

    def _fail(self, words: str) -> str:
        self.problem = self.problem or words
        return words


def _key(kind: str, *parts: str) -> str:
    return " ".join((kind, *parts))


def _parsed(text: str | None, kind: type[_T]) -> _T | None:
    """The JSON text as a value of type `kind`; None for anything else."""
    try:
        return None if text is None else decode_json(text, kind)
    except (msgspec.MsgspecError, ValueError):
        return None


def _words(error: BaseException) -> str:
    words = getattr(error, "strerror", None) or str(error) or "another process was writing it for too long"
    return words[:1].lower() + words[1:]

"""The cache: paid texts, server texts last seen, learned job durations, stamps of files. Deleting it loses no fact.

A text is stored once, by its body digest; its job says where it came from.

A cache that cannot be used answers None and sets `problem`; only a paid text that cannot be stored is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgspec

from contentops.digest import Digest, canonical
from contentops.documents.clean import body_digest
from contentops.errors import StateError
from contentops.json_reader import decode_json
from contentops.model import Json, Remote, text_digest

if TYPE_CHECKING:
    import diskcache

_T = TypeVar("_T")
_WEEK = 7 * 24 * 3600.0
"""Seconds after which a value that only saves time is deleted."""


class Cache:
    """The cache in `folder`, for one thread. Without `write` nothing is made or stored, not even the folder.

    `problem` says why the cache could not be used; empty while it can.
    """

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self.folder = folder
        self.problem = ""
        self._write = write
        self._opened: diskcache.Cache | None = None

    # --- texts ---------------------------------------------------------------------------------------------

    def put_text(self, body: str, front: Mapping[str, Json], *, item: str) -> None:
        """Store a paid text of an item, and the front matter that came with it; durable on return. Raises StateError.

        Its job has its digest, and whatever else is known of it.
        """
        digest = body_digest(body)
        rows = {f"body {digest}": body} | ({f"front {digest}": canonical(dict(front))} if front else {})
        if words := self._set(rows):
            message = f"the paid text of item `{item}` cannot be written to the cache: {words}"
            hint = f"make room, or delete {self.folder}, and run `contentops apply` again"
            raise StateError(message, code="text-not-kept", hint=hint)

    def front(self, digest: Digest) -> Mapping[str, Json]:
        """Return the front matter that came with the generated text of a body digest, without its title."""
        return self.recall(f"front {digest}", dict[str, Any]) or {}

    def body(self, digest: Digest) -> str | None:
        """Return the text with a body digest (a job made it, a person saved it, or a server had it), or None."""
        body = self._get(f"body {digest}")
        return body if body is not None and body_digest(body) == digest else None

    def keep_body(self, digest: Digest, body: str) -> None:
        """Store a text by its body digest, so that a later merge can use it."""
        self._set({f"body {digest}": body})

    def decided(self, text: Digest) -> tuple[str, str] | None:
        """Return title and body of a text that a person approved or sent back, by its digest; or None."""
        kept = self.recall(f"decided {text}", tuple[str, str])
        return kept if kept is not None and text_digest(kept[0], body_digest(kept[1])) == text else None

    def keep_decided(self, title: str, body: str) -> None:
        """Store a text that a person approved or sent back, because no commit may have it."""
        self.remember(f"decided {text_digest(title, body_digest(body))}", [title, body])

    # --- what was seen and learned -------------------------------------------------------------------------

    def recall(self, name: str, kind: type[_T]) -> _T | None:
        """Return the value that `remember` stored; None if there is none or its type differs."""
        try:
            text = self._get(name)
            return None if text is None else decode_json(text, kind)
        except (msgspec.MsgspecError, ValueError):
            return None

    def remember(self, name: str, value: object) -> None:
        """Store a value of JSON or a struct under a name."""
        self._set({name: canonical(msgspec.to_builtins(value))})

    def seen(self, server: str) -> dict[str, Remote]:
        """Return each content as last seen on a server, by id."""
        return self.recall(f"seen {server}", dict[str, Remote]) or {}

    def keep_seen(self, server: str, new: Mapping[str, Remote], looked: Container[str] = ()) -> bool:
        """Store new contents, forget older ones that were `looked` up, and return whether anything changed."""
        before = self.seen(server)
        now = {id_: content for id_, content in before.items() if id_ not in looked} | {**new}
        if now != before:
            self.remember(f"seen {server}", now)
        return now != before

    def get(self, key: str) -> str | None:
        """Return a stored value that is only needed to save time, such as the stamps of files."""
        return self._get(f"saved {key}")

    def put(self, values: Mapping[str, str]) -> None:
        """Store values for a week that are only needed to save time."""
        self._set({f"saved {key}": value for key, value in values.items()}, expire=_WEEK)

    # --- the library ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _use(self, work: Callable[[diskcache.Cache], _T], *, make: bool = False) -> _T | None:
        """Call `work` with the library of the cache and return its result; None if that failed (see `problem`)."""
        if self._opened is None and not make and (self.problem or not os.path.lexists(self.folder)):
            return None
        from contentops.state.text_disk import ERRORS, open_library

        try:
            if self._opened is None:
                self._opened = open_library(self.folder, make=make)
            return None if self._opened is None else work(self._opened)
        except ERRORS as error:
            words = getattr(error, "strerror", None) or str(error) or "another process was writing it for too long"
            self.problem = words[:1].lower() + words[1:]
            self.close()
            return None

    def _get(self, key: str) -> str | None:
        return self._use(lambda library: cast("str | None", library.get(key)))

    def _set(self, values: Mapping[str, str], *, expire: float | None = None) -> str:
        """Change rows in one transaction; return why that failed, or an empty text. `expire`: in so many seconds."""

        def change(library: diskcache.Cache) -> bool:
            with library.transact():
                for key, value in values.items():
                    library.set(key, value, expire)
            if not (self.folder / "cache.db").exists():
                raise StateError("it was deleted while it was in use")
            return True

        if not self._write:
            return "it was opened for reading only"
        return "" if self._use(change, make=True) else self.problem

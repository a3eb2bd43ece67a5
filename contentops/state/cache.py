"""The cache of paid texts, texts last seen on a server, job durations and file stamps. It is safe to delete.

A text is stored once, by its body digest; its job says where it came from.

If the cache cannot be used, it returns None and sets `problem`. Only a paid text that cannot be stored is an error.
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
    """The cache in a folder, for use by one thread. Without `write` it creates and stores nothing.

    `problem` says why the cache could not be used. It is empty as long as the cache works.
    """

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self.folder = folder
        self.problem = ""
        self._write = write
        self._opened: diskcache.Cache | None = None

    # --- texts ---------------------------------------------------------------------------------------------

    def put_text(self, body: str, front: Mapping[str, Json], *, item: str) -> None:
        """Store a paid text of an item, with the front matter that came with it. The text is safely on disk on return.

        The job of the text has its digest, and everything else that is known about it. Raises StateError if the text
        cannot be stored.
        """
        digest = body_digest(body)
        rows = {f"body {digest}": body} | ({f"front {digest}": canonical(dict(front))} if front else {})
        if words := self._set(rows):
            message = f"the paid text of item `{item}` cannot be written to the cache: {words}"
            hint = f"make room, or delete {self.folder}, and run `contentops apply` again"
            raise StateError(message, code="text-not-kept", hint=hint)

    def front(self, digest: Digest) -> Mapping[str, Json]:
        """Return the front matter that came with a generated text, without its title.

        `digest` is the digest of the text's body.
        """
        return self.recall(f"front {digest}", dict[str, Any]) or {}

    def body(self, digest: Digest) -> str | None:
        """Return the text with this body digest, or None. A job, a person or a server made the text."""
        body = self._get(f"body {digest}")
        return body if body is not None and body_digest(body) == digest else None

    def keep_body(self, digest: Digest, body: str) -> None:
        """Store a text under its body digest, so that a later merge can use it."""
        self._set({f"body {digest}": body})

    def decided(self, text: Digest) -> tuple[str, str] | None:
        """Return the title and body of a text that a person approved or sent back, or None.

        `text` is the digest of the text.
        """
        kept = self.recall(f"decided {text}", tuple[str, str])
        return kept if kept is not None and text_digest(kept[0], body_digest(kept[1])) == text else None

    def keep_decided(self, title: str, body: str) -> None:
        """Store a text that a person approved or sent back, because it may be in no commit."""
        self.remember(f"decided {text_digest(title, body_digest(body))}", [title, body])

    # --- what was seen and learned -------------------------------------------------------------------------

    def recall(self, name: str, kind: type[_T]) -> _T | None:
        """Return the value that `remember` stored under this name.

        It is None if there is no such value or its type differs.
        """
        try:
            text = self._get(name)
            return None if text is None else decode_json(text, kind)
        except (msgspec.MsgspecError, ValueError):
            return None

    def remember(self, name: str, value: object) -> None:
        """Store a JSON value or a struct under a name."""
        self._set({name: canonical(msgspec.to_builtins(value))})

    def seen(self, server: str) -> dict[str, Remote]:
        """Return the stored contents of a server as contentops last saw them, by id."""
        return self.recall(f"seen {server}", dict[str, Remote]) or {}

    def keep_seen(self, server: str, new: Mapping[str, Remote], looked: Container[str] = ()) -> bool:
        """Remember the stored contents that a server has now. Return whether anything changed.

        Older contents whose ids are in `looked` are deleted, because they were looked for again.
        """
        before = self.seen(server)
        now = {id_: content for id_, content in before.items() if id_ not in looked} | {**new}
        if now != before:
            self.remember(f"seen {server}", now)
        return now != before

    def get(self, key: str) -> str | None:
        """Return a remembered value that only makes commands faster, such as the stamps of files."""
        return self._get(f"saved {key}")

    def put(self, values: Mapping[str, str]) -> None:
        """Remember values that only make commands faster. They are deleted after a week."""
        self._set({f"saved {key}": value for key, value in values.items()}, expire=_WEEK)

    # --- the library ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files of the cache."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _use(self, work: Callable[[diskcache.Cache], _T], *, make: bool = False) -> _T | None:
        """Open the cache library if necessary, call a function with it, and return the function's result.

        If that fails, return None and set `problem`.
        """
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
        """Change rows of the cache in one transaction. Return the reason if that failed, or an empty text.

        The rows are deleted after `expire` seconds.
        """

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

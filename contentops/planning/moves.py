"""The order of moves: each target is free when its turn comes, cycles go through a temporary name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.planning.situation import key_of, temporary_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import ItemId


class Move(Struct, frozen=True):
    """One rename of one item's file."""

    item: ItemId
    source: str
    target: str


def order_moves(moves: Iterable[Move]) -> tuple[Move, ...]:
    """The renames to carry out, in order; a temporary name appears only where nothing else can go first."""
    waiting = {move.item: move for move in sorted(moves, key=lambda move: move.item)}
    taken = _Taken(move.source for move in waiting.values())
    done: list[Move] = []
    while waiting:
        ready = [move for move in waiting.values() if taken.is_free(move.target, apart_from=move.source)]
        ready = [move for move in ready if not _clash(move.source, move.target)]
        if ready:
            for move in ready:
                # An earlier one of this pass only frees places: sources vanish, targets are nobody's source.
                done.append(move)
                del waiting[move.item]
                taken.free(move.source)
            continue
        item, move = next(iter(waiting.items()))
        rest = temporary_name(_beside(move), item)
        done.append(Move(item, move.source, rest))
        waiting[item] = Move(item, rest, move.target)
        taken.free(move.source)
        taken.take(rest)
    return tuple(done)


class _Taken:
    """The places that files still to be moved hold, and the folders above them."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._files: Counter[str] = Counter()
        self._folders: Counter[str] = Counter()
        for source in sources:
            self.take(source)

    def take(self, path: str) -> None:
        key = key_of(path)
        self._files[key] += 1
        self._folders.update(_above(key))

    def free(self, path: str) -> None:
        key = key_of(path)
        self._files[key] -= 1
        self._folders.subtract(_above(key))

    def is_free(self, target: str, *, apart_from: str) -> bool:
        key, own = key_of(target), key_of(apart_from)
        above = _above(key)
        held = self._files[key] - (own == key) + self._folders[key] - (key in _above(own))
        return held <= 0 and not any(self._files[folder] - (own == folder) > 0 for folder in above)


def _above(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _clash(one: str, other: str) -> bool:
    """Whether both cannot exist at once: the same name to some file system, or one below the other."""
    first, second = key_of(one), key_of(other)
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")


def _beside(move: Move) -> str:
    """The path beside which the temporary name goes: never inside what is being moved."""
    return move.source if key_of(move.target).startswith(f"{key_of(move.source)}/") else move.target

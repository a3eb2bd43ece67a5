"""What changed in the data files that items come from, as the items and their records show it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.errors import plural
from contentops.model import Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.errors import Location
    from contentops.model import Record, Spec
    from contentops.planning.select import Candidate


class _FileRows(Struct):
    """The rows of one data file that differ from their records."""

    new: set[Location] = field(default_factory=set)
    changed: set[Location] = field(default_factory=set)
    gone: int = 0


def row_notes(chosen: Sequence[Candidate]) -> Iterator[Note]:
    """A note for each data file of which rows came, went or changed; none where all items of a declaration are new.

    A row that is gone belongs to the one file whose items use the same columns; where several do, it is not counted.
    """
    if all(item.change is None and item.spec is not None for item in chosen):
        return  # origins are read only where something differs
    files: defaultdict[str, _FileRows] = defaultdict(_FileRows)
    for item in _begun(chosen):
        if item.spec is None or item.change is None:
            continue
        if item.record is not None:
            for at in _changed(item.spec, item.record):
                files[at.file].changed.add(at)
        elif not item.entries and (home := _row_of(item.spec)):
            files[home.file].new.add(home)
    for name in _files_of_gone(chosen):
        files[name].gone += 1
    for name, rows in sorted(files.items()):
        counts = (len(rows.new), "new"), (rows.gone, "gone or filtered"), (len(rows.changed), "changed")
        said = [f"{plural(count, 'row')} {word}" for count, word in counts if count]
        yield Note(kind="rows-changed", message=f"`{name}`: {', '.join(said)}")


def _begun(chosen: Sequence[Candidate]) -> Iterator[Candidate]:
    """The items of declarations of which an item has a record, and that of those that are gone."""
    known = {item.spec.location for item in chosen if item.spec is not None and item.record is not None}
    used = {_columns(item.record.used) for item in chosen if item.spec is None and item.record is not None}
    for item in chosen:
        if item.spec is None or item.change is None:
            continue
        if item.spec.location in known or (used and _columns(item.spec.used) in used):
            yield item


def _files_of_gone(chosen: Sequence[Candidate]) -> Iterator[str]:
    """Yield for each row that is gone, of however many items, the data file that it was probably in."""
    gone = [item.record.used for item in chosen if item.spec is None and item.record is not None]
    if not any(_columns(used) for used in gone):
        return
    files: defaultdict[frozenset[str], dict[str, frozenset[str]]] = defaultdict(dict)
    one_each = {item.spec.location: item.spec for item in chosen if item.spec is not None}
    for spec in one_each.values():
        if home := _row_of(spec):
            columns = _columns(spec.used)
            # An axis of a `matrix` tells the items of one row apart.
            files[columns][home.file] = frozenset(name for name in columns if _file_of(spec, name) == home.file)
    rows: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for used in gone:
        if (columns := _columns(used)) and len(files[columns]) == 1:
            ((file, names),) = files[columns].items()
            rows.add((file, frozenset((name, used[name]) for name in names)))
    yield from (file for file, _ in rows)


def _file_of(spec: Spec, name: str) -> str:
    """Return the file that a variable comes from; empty: it has no location."""
    origin = spec.variables.get(name)
    return origin.location.file if origin is not None and origin.location is not None else ""


def _columns(used: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in used if name.partition(".")[0] == "each")


def _row_of(spec: Spec) -> Location | None:
    """The row of a data file that an item is made from: that of its id, which tells rows apart."""
    id_origin = spec.origins.get("id")
    for name in (*(id_origin.variables if id_origin else ()), *spec.variables):
        origin = spec.variables.get(name)
        if origin and origin.layer == "data" and origin.location and not _is_inline(spec, origin.location):
            return origin.location
    return None


def _is_inline(spec: Spec, location: Location) -> bool:
    return spec.location is not None and location.file == spec.location.file


def _changed(spec: Spec, record: Record) -> Iterator[Location]:
    """The rows with values that are others than those that the record was made from."""
    for name in sorted(_columns(spec.used)):
        origin = spec.variables.get(name)
        if (
            record.used.get(name) not in (None, spec.used[name])
            and origin is not None
            and origin.location is not None
            and not _is_inline(spec, origin.location)
        ):
            yield origin.location

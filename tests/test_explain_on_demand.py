"""Where values were written is looked up only for items that need it: for 10,000 items it takes seconds."""

from collections.abc import Iterator, Mapping
from typing import NoReturn

from msgspec import structs

from contentops.model import Origin
from tests.fakes.sides import a_file, a_record, a_spec, plan_of


class Unasked(Mapping[str, Origin]):
    """Origins that no one may look up."""

    def __getitem__(self, name: str) -> NoReturn:
        raise AssertionError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError


def test_an_unchanged_item_asks_for_no_origin() -> None:
    """Its record, its file and its request agree, so that nothing has to be explained."""
    spec = structs.replace(a_spec(), origins=Unasked())
    plan = plan_of([spec], [a_record(spec)], [a_file(spec.output)])
    assert (plan.changes, plan.unchanged) == ((), 1)

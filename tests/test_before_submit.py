"""What free requests say before anything is paid for: whether the server saves texts without a user id."""

from pathlib import Path
from typing import Any

import pytest

from contentops.errors import ApiError
from contentops.model import ItemId
from contentops.operations import doctor
from tests.fakes.backend import PublicBackend
from tests.fakes.harness import Harness, blog, results


def _backend(tmp_path: Path, **habits: Any) -> Harness:
    api = PublicBackend(duration=30, needs_user=True, **habits)
    harness = Harness(tmp_path, api, base_url="https://api.example.test/api", rpm=0)
    harness.write("content/a.yaml", blog("tea"))
    return harness


def test_a_server_that_saves_nothing_without_a_user_id_is_refused(tmp_path: Path) -> None:
    """Before the first submit, and `doctor` says the same."""
    harness = _backend(tmp_path)
    with pytest.raises(ApiError) as refused:
        harness.apply()
    assert refused.value.code == "no-user"
    assert refused.value.message.startswith("`WRITERZROOM_USER_ID` is not set, and the server needs it to save texts:")
    assert refused.value.hint == "export WRITERZROOM_USER_ID=..., with the account's user id; nothing was submitted"
    assert [seen.name for seen in harness.api.requests] == ["list templates", "list content"]
    assert not harness.state.open_jobs
    check = next(one for one in doctor.doctor(harness.project, harness.runtime()) if one.name == "server")
    assert (check.ok, check.message) == (False, refused.value.message)


def test_a_user_id_or_no_saving_is_all_it_needs(tmp_path: Path) -> None:
    """Then nothing is asked for it."""
    harness = _backend(tmp_path)
    harness.edit("contentops.yaml", "requests_per_minute: 0", "requests_per_minute: 0, save: off")
    assert (results(harness.apply()), harness.api.count("list content")) == ({"tea": "done"}, 0)
    harness.edit("contentops.yaml", ", save: off", "")
    harness.write("content/b.yaml", blog("b"))
    runtime = harness.runtime()
    runtime.environ["WRITERZROOM_USER_ID"] = "u1"  # type: ignore[index]
    harness.runtime = lambda: runtime  # type: ignore[method-assign]
    assert results(harness.apply()) == {"b": "done", "tea": "done"}
    assert harness.state.records[ItemId("b")].saved is not None
    check = next(one for one in doctor.doctor(harness.project, runtime) if one.name == "server")
    assert check.ok

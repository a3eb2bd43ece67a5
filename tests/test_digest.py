"""The fingerprint that decides whether money is spent: pinned, and blind to everything that is not meaning."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.digest import DIGEST_VERSION, canonical, digest_bytes, digest_json, is_same_json
from contentops.model import Request
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness

PLAIN = Request(template="blog_article_generator", style="general_blog", inputs={"topic": "AI adoption"})
GOLDEN = {
    "plain": (PLAIN, "sha256:95e09d0ecc9e9d8cd1894c2f3a7a093d8f89881016c9767b8b7040b44ce0a4cf"),
    "quick": (structs.replace(PLAIN, mode="quick"), "sha256:d0878bd337ece8ed9f27ee6cd7d6deeb175abc5d708c8d0a82ed4f8fff662eb2"),
    "vertical": (structs.replace(PLAIN, vertical="saas_tech"), "sha256:afbf1e6589b7b382eb73611aa1355b340e2314727cf95f10ffe60249ca71041d"),
    "brand voice": (structs.replace(PLAIN, brand_voice="bv_acme"), "sha256:49c8fe4fa555bb773f69745707ac90c5ccc6d36363537a18dca162c967ff2a17"),
    "revision": (structs.replace(PLAIN, revision=2), "sha256:b7415944aef8cf271a6a6870e1bc1d67f2088d665cd8207fd5d9597cc4b5aed1"),
    "revision as text": (structs.replace(PLAIN, revision="2"), "sha256:79cf311440aff1cdb9dfdc1faf2afe116a2576f0f03867698e07eb354b2e467d"),
    "all kinds of input": (
        structs.replace(
            PLAIN,
            inputs={
                "topic": 'Größe, 東京, 🚀 \u2028 "quoted" \\ / \x01',
                "word_count_target": 1200,
                "ratio": 0.5,
                "none": None,
                "yes": True,
                "points": ["ROI", ["nested", {"b": 1, "a": 2}], []],
                "empty": {},
            },
        ),
        "sha256:16523d0cab5ab31f3ef728c27079321aa8fd9e18d33ac2422e0eae9117d7b806",
    ),
}  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@pytest.mark.parametrize(("request_", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_golden_digests(request_: Request, golden: str) -> None:
    """A changed digest would pay for every text again: raise DIGEST_VERSION before these are touched."""
    assert (DIGEST_VERSION, request_.digest) == (1, golden)


@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_key_order_means_nothing(value: dict[str, Any]) -> None:
    """The same mapping in another order, at any depth, has the same digest."""
    turned = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert digest_json(turned) == digest_json(value)


@given(one=JSON, other=JSON)
def test_different_values_differ(one: Any, other: Any) -> None:
    """Equal digests mean equal canonical texts."""
    assert (digest_json(one) == digest_json(other)) is (canonical(one) == canonical(other))


NEAR = st.sampled_from(
    [0, 0.0, -0.0, False, 1, 1.0, True, 10**30, 1e30, 1e16, 1e-7, "", "\ud800", None, [], {}, [1], [True], {"a": 1}]
)
ODD = st.text('\x00\x08\x1f\x7f\x80\ud7ff\ue000\U0001f680/\\"<é.e16-', max_size=8)


@given(value=JSON | NEAR | ODD | st.lists(NEAR | ODD) | st.dictionaries(ODD, NEAR | ODD, max_size=4))
def test_a_digest_is_that_of_the_canonical_text(value: Any) -> None:
    """Whichever encoder writes it."""
    try:
        text = canonical(value).encode()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            digest_json(value)
    else:
        assert digest_json(value) == digest_bytes(text)


@given(one=JSON | NEAR | st.lists(NEAR, max_size=2), other=JSON | NEAR | st.lists(NEAR, max_size=2))
def test_values_are_the_same_where_they_are_written_alike(one: Any, other: Any) -> None:
    """Also of those that Python takes for equal, and of those that few encoders can write."""
    assert is_same_json(one, other) is (canonical(one) == canonical(other))
    assert is_same_json({"a": one, "b": 1}, {"b": 1, "a": one})


def test_lists_and_numbers_keep_their_meaning() -> None:
    """The order of a list, text against number, and true against 1 are meaning."""
    assert len({digest_json(value) for value in (["a", "b"], ["b", "a"], 1, "1", True, 1.0, None, [])}) == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}], ids=["nan", "inf", "deep"])
def test_no_number_is_no_json(value: object) -> None:
    """NaN and infinities are refused rather than written as no JSON."""
    with pytest.raises(ValueError, match="JSON"):
        digest_json(value)


NEUTRAL = {
    "metadata": ("inputs:", "metadata: {tags: [x], date: 2026-03-01}\n    inputs:"),
    "comment": ("items:", "# a comment\nitems:"),
    "key order": ("topic: T, target_audience: A", "target_audience: A, topic: T"),
    "quotes": ("topic: T,", 'topic: "T",'),
    "tags": ("inputs:", "tags: [a, b]\n    inputs:"),
    "checks of edits": ("inputs:", "on_edit: keep\n    inputs:"),
    "the default mode": ("inputs:", "mode: standard\n    inputs:"),
}


@pytest.mark.parametrize(("old", "new"), NEUTRAL.values(), ids=NEUTRAL)
def test_what_is_no_meaning_costs_nothing(tmp_path: Path, old: str, new: str) -> None:
    """Comments, key order, quotes, metadata, tags and stated defaults never cause a submit."""
    harness = Harness(tmp_path, FakeApi(duration=5))
    harness.write("content/a.yaml", "items:\n  - id: a\n    inputs: {topic: T, target_audience: A}\n")
    harness.apply()
    harness.edit("content/a.yaml", old, new)
    assert harness.plan().submits == 0
    harness.apply()
    assert len(harness.api.generations) == 1

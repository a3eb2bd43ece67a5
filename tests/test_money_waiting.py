"""What a waiting item costs is known when its source is final: more than was confirmed is not spent."""

import json

from tests.models import MODEL_PROJECT, Model
from tests.running import Build, Run

PRICE = "price: {currency: EUR, input: 2, output: 8}\n"
AGAIN = "{% for n in range(400) %}{{ ref('guide').body }} {% endfor %}"
ITEMS = [
    {"id": "guide", "inputs": {"topic": "Tides", "target_audience": "sailors"}},
    {"id": "teaser", "inputs": {"topic": "News", "target_audience": "all", "objective": AGAIN}},
]


def test_a_brief_that_got_longer_than_confirmed_is_held(project: Build, invoke: Run, processes: None) -> None:
    """A plan counts a brief that waits as one of the usual length. A dearer one waits for another yes, unpaid."""
    root = project({"contentops.yaml": MODEL_PROJECT + PRICE, "content/a.yaml": json.dumps({"items": ITEMS})})
    with Model() as model:
        ended = invoke("apply", "--yes", cwd=root, env=model.env)
        asked = len(model.prompts)
        assert "teaser  waiting: it costs at most 3.34 EUR now, not 1.16 EUR\n" in ended.stdout
        assert not (root / "out/teaser.md").exists()
        assert "Plan: 1 to create, 1 unchanged. At most 3.34 EUR." in invoke("plan", cwd=root).stdout
        assert invoke("apply", "--yes", cwd=root, env=model.env).code == 0
    assert (root / "out/teaser.md").exists()
    assert len(model.prompts) > asked

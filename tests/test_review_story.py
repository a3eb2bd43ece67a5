"""From a generated text to a published one, as an editor and an author live it, by command line and page."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from contentops.model import ItemId, text_digest
from tests.pages import Browser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

SETTINGS = """\
version: 1
project: acme
api: {base_url: local}
disclosure: true
defaults: {template: blog_article_generator, style: general_blog, approval: required}
environments:
  staging: {output: "staging/{{ item.id }}.md"}
  prod: {promote_from: staging, output: "live/{{ item.id }}.md"}
"""
ITEMS = "items:\n" + "".join(
    f"  - id: {name}\n    inputs: {{topic: All about {name}, target_audience: founders}}\n"
    for name in ("guide", "pricing", "roi")
)


def git(root: Path, *arguments: str) -> None:
    """Run git in a folder."""
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def test_from_staging_to_prod(tmp_path: Path, invoke: Run) -> None:
    """Prod takes the two texts that were approved; a letter brings the mark back; the report tells it all."""
    root = tmp_path / "acme"
    (root / "content").mkdir(parents=True)
    (root / "contentops.yaml").write_text(SETTINGS)
    (root / "content/items.yaml").write_text(ITEMS)
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "Kim Reader")
    git(root, "config", "user.email", "kim@example.test")

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        ended = invoke(*arguments, "--json", cwd=root)
        assert ended.code == code, ended.stderr
        answer: dict[str, Any] = ended.json
        return answer

    def states(environment: str) -> dict[str, str]:
        return {item["id"]: item["approval"] for item in run("status", "--env", environment)["items"]}

    run("apply", "--env", "staging", "--yes")
    for path in root.glob("staging/*.md"):
        text = path.read_text()
        assert "draft: true" in text
        path.write_text("\n".join(line for line in text.split("\n") if not line.startswith("> Draft outline")))
    run("send-back", "pricing", "--env", "staging", "--note", "The sum is missing.")
    assert states("staging") == {"guide": "waiting", "pricing": "sent-back", "roi": "waiting"}

    browser = Browser(root, environment="staging")
    shown = browser.site.review.snapshot().by_id[ItemId("pricing")].file
    edited = browser.get("/item?id=pricing")
    assert "The sum is missing." in edited.text
    (root / "staging/pricing.md").write_text((root / "staging/pricing.md").read_text() + "\nIt costs 40 a month.\n")
    stale = browser.post("/approve", id="pricing", text=text_digest(shown.title, shown.body))
    assert stale.status_code != 303
    assert "its text has changed" in stale.text
    for name in ("guide", "pricing"):
        browser = Browser(root, environment="staging")  # each in a window of its own
        file = browser.site.review.snapshot().by_id[ItemId(name)].file
        browser.follow(browser.post("/approve", id=name, text=text_digest(file.title, file.body)))
    assert states("staging") == {"guide": "approved", "pricing": "approved", "roi": "waiting"}
    assert "draft: true" not in (root / "staging/pricing.md").read_text()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "texts")

    plan = run("plan", "--env", "prod")
    assert (plan["summary"]["actions"], plan["summary"]["not_promoted"]) == ({"promote": 2}, 1)
    run("apply", "--env", "prod", "--yes")
    assert sorted(path.name for path in root.glob("live/*.md")) == ["guide.md", "pricing.md"]
    assert "draft: true" not in (root / "live/pricing.md").read_text()
    assert "ai_disclosure: ai-assisted" in (root / "live/pricing.md").read_text()
    assert states("prod") == {"guide": "approved", "pricing": "approved", "roi": "none"}

    text = (root / "live/guide.md").read_text()
    (root / "live/guide.md").write_text(text.replace("All about", "All abuot"))
    assert states("prod")["guide"] == "changed"
    run("apply", "--env", "prod", "--yes")
    assert "draft: true" in (root / "live/guide.md").read_text()
    assert run("plan", "--env", "prod")["summary"]["changes"] is False

    rows = {row["item"]: row for row in run("report", "--provenance", "--env", "staging")["texts"]}
    assert rows["pricing"]["approval"] == "approved"
    assert [(one["by"], one["from"]) for one in rows["pricing"]["verdicts"]] == [
        ("Kim Reader <kim@example.test>", "page")
    ]
    assert min(row["changed"] for row in rows.values()) > 0
    assert rows["roi"]["approval"] == "waiting"
    assert {row["disclosure"]["ai_disclosure"] for row in rows.values()} == {"ai-assisted", "ai-autonomous"}

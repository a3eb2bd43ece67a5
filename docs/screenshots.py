"""Make the pictures of the review page for the documentation.

    python docs/screenshots.py [FOLDER]

This script needs Chromium on the path. It uses the fonts Inter, Caladea and JetBrains Mono if they are installed
(Debian's `fonts-inter`, `fonts-crosextra-caladea` and `fonts-jetbrains-mono`), so that all systems draw equal pictures.
"""

from __future__ import annotations

import base64
import functools
import os
import shutil
import struct
import sys
import tempfile
import zlib
from array import array
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from msgspec import structs  # noqa: E402 - the checkout comes first on the path
from playwright.sync_api import sync_playwright  # noqa: E402

from contentops.operations.opening import HERE  # noqa: E402
from tests import review_project  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

FOLDER: Final = ROOT / "docs" / "how-to" / "review"
NOW: Final = datetime(2026, 11, 29, 11, 50, tzinfo=UTC)
ITEM: Final = "blog%2Fquiet-rooms"
PICTURES: Final = {
    "overview": "/",
    "items": "/items?state=waiting",
    "search": "/items?q=rooms",
    "item": f"/item?id={ITEM}&view=changes",
    "preview": f"/item?id={ITEM}&view=preview",
    "sides": f"/item?id={ITEM}&view=changes&beside=1",
    "history": f"/item?id={ITEM}#history",
    "restore": f"/item?id={ITEM}#history",
    "edit": f"/edit?id={ITEM}",
    "plan": "/plan",
    "confirm": "/confirm?action=plan",
    "spend": "/spend",
    "run": "/run",
    "today": "/today",
    "send": "/send",
}
"""The path of each; that of `restore` has its link, as the path names a version by its digest."""
SIZES: Final[dict[str, ViewportSize]] = {
    "light": {"width": 1200, "height": 860},
    "dark": {"width": 1200, "height": 860},
    "phone": {"width": 390, "height": 844},
}
"""The screens, in pixels."""
LARGEST: Final = 100_000
"""Bytes of a picture."""
FONTS: Final = """<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<alias binding="strong"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
<alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
<alias binding="strong"><family>Georgia</family><prefer><family>Caladea</family></prefer></alias>
<alias binding="strong"><family>serif</family><prefer><family>Caladea</family></prefer></alias>
<alias binding="strong"><family>monospace</family><prefer><family>JetBrains Mono</family></prefer></alias>
</fontconfig>
"""


def shoot(folder: Path) -> None:
    """Write pictures of each page into a folder: in light mode, in dark mode and at the size of a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "fonts.conf").write_text(FONTS, encoding="utf-8")
        os.environ["FONTCONFIG_FILE"] = str(project / "fonts.conf")
        os.environ["GIT_AUTHOR_DATE"] = os.environ["GIT_COMMITTER_DATE"] = NOW.isoformat()
        review_project.in_every_state(project / "project", now=NOW)
        runtime = structs.replace(HERE, wall=NOW.timestamp)
        with review_project.served(project / "project", runtime) as (address, keys), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=review_project.BROWSER, args=review_project.ARGUMENTS)
            for screen in SIZES:
                keys.used = False
                _shoot(browser, screen, f"{address}/open?token={keys.token}", folder)
            browser.close()


def _shoot(browser: Browser, screen: str, link: str, folder: Path) -> None:
    page = browser.new_context(color_scheme="dark" if screen == "dark" else "light", timezone_id="UTC").new_page()
    page.set_viewport_size(SIZES[screen])
    blank = browser.new_page()  # our pages may not read pictures
    page.goto(link)
    for name, path in PICTURES.items():
        page.goto(link.partition("/open")[0] + path)
        if name == "restore":
            page.get_by_role("link", name="Restore").first.click()
        page.wait_for_timeout(500)  # what scrolls is drawn late
        picture = base64.b64encode(page.screenshot()).decode()
        wide, high, raw = blank.evaluate(PIXELS, f"data:image/png;base64,{picture}")
        data = _png(wide, high, base64.b64decode(raw))
        (folder / f"{name}-{screen}.png").write_bytes(data)
        print(f"{name}-{screen}.png: {len(data):,} bytes{', too large' if len(data) > LARGEST else ''}")


PIXELS: Final = """async source => {
  const image = await createImageBitmap(await (await fetch(source)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height), brush = canvas.getContext("2d");
  brush.drawImage(image, 0, 0);
  const data = brush.getImageData(0, 0, image.width, image.height).data;
  let text = "";
  for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
  return [image.width, image.height, btoa(text)];
}"""
"""Returns width, height, and four bytes for each pixel of a picture."""


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a small PNG picture, with at most 256 colours.

    Each other colour is replaced by the nearest of these colours.
    """
    colours = array("I", pixels)
    counts = Counter(colours)

    def distance(one: int, other: int) -> int:
        return sum(((one >> shift & 255) - (other >> shift & 255)) ** 2 for shift in (0, 8, 16))

    # The commonest, then again and again the one that is least like any of these: rare colours mean something.
    palette = [colour for colour, _ in counts.most_common(192)]
    nearest = {colour: min(palette, key=functools.partial(distance, colour)) for colour in counts}
    while len(palette) < min(256, len(counts)):
        far = max(counts, key=lambda colour: distance(colour, nearest[colour]))
        palette.append(far)
        nearest |= {one: far for one in counts if distance(one, far) < distance(one, nearest[one])}
    index = {colour: palette.index(near) for colour, near in nearest.items()}
    flat = bytes(index[colour] for colour in colours)
    rows = b"".join(b"\0" + flat[start : start + width] for start in range(0, len(flat), width))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", b"".join(colour.to_bytes(4, sys.byteorder)[:3] for colour in palette)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    assert shutil.which("git")
    shoot(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

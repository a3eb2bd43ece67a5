"""Build the documentation as a website. The build fails if a link or an anchor has no target.

    python docs/build_site.py [FOLDER]     default: build/site

The pages are written for the repository: a link may lead to any file, and docs/index.md lists all pages. Therefore
Zensical builds a changed copy of the pages. The site also has the pages of the command line and of the error codes. A
link to the source file of such a page becomes a link to the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Entry = str | dict[str, list["Entry"]]

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs.generate import SitePage, site_pages  # noqa: E402 - the checkout comes first on the path

PICTURES: Final = {".png", ".svg"}
_COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
_LINK: Final = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
_FENCE: Final = re.compile(r"^( *)(```+)(\w*)(.*)$")


def main(target: Path, docs: Path = DOCS, made: Sequence[SitePage] = ()) -> int:
    """Build the site into a folder; return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name)
        if faults := prepare(docs, source / "docs", made):
            print(*(f"error: {fault}" for fault in faults), sep="\n", file=sys.stderr)
            return 1
        (source / "zensical.toml").write_text(settings(docs, made), "utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        ended = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        # A strict build ends with a traceback of Zensical's own after it has named what is wrong.
        print(_COLOR.sub("", ended.stderr).partition("Traceback ")[0], end="", file=sys.stderr)
        if ended.returncode == 0:
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(source / "site", target)
            print(f"built {target / 'index.html'}")
        return ended.returncode


def prepare(docs: Path, folder: Path, made: Sequence[SitePage] = ()) -> list[str]:
    """Copy pages and pictures into a folder, and change their links for the site. Return the errors found."""
    faults = []
    pages = {page: page.read_text("utf-8") for page in sorted(docs.rglob("*.md"))}
    pages |= {docs / page.path: page.text for page in made}
    for page, written in pages.items():
        copy = folder / page.relative_to(docs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text, missing = rewritten(written, page, docs, made)
        copy.write_text(text, "utf-8")
        faults += [f"{page.relative_to(docs.parent).as_posix()}: there is no {target}" for target in missing]
    for picture in (path for path in docs.rglob("*") if path.suffix in PICTURES):
        copy = folder / picture.relative_to(docs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, copy)
    names = {page.relative_to(docs).as_posix() for page in pages}
    unlisted = sorted(names - set(_paths(navigation(docs, made))))
    return [*faults, *(f"docs/index.md does not list {name}" for name in unlisted)]


def rewritten(text: str, page: Path, docs: Path = DOCS, made: Sequence[SitePage] = ()) -> tuple[str, list[str]]:
    """Return the text of a page for the site, and the page's links whose file does not exist.

    Links to other files lead to the repository. A file name in the first line of a code block becomes its title.
    """
    missing: list[str] = []
    from_source = {one.source: docs / one.path for one in made}

    def address(found: re.Match[str]) -> str:
        path, mark, fragment = found[0].partition("#")
        linked = (page.parent / path).resolve()
        if linked in from_source:
            return f"{Path(os.path.relpath(from_source[linked], page.parent)).as_posix()}{mark}{fragment}"
        if re.match("[a-z]+:", found[0]) or not path or (linked.is_relative_to(docs) and linked.is_file()):
            return found[0]
        if not linked.exists() or not linked.is_relative_to(docs.parent):
            missing.append(found[0])
            return found[0]
        kind = "tree" if linked.is_dir() else "blob"
        return f"{_repository()}/{kind}/HEAD/{linked.relative_to(docs.parent).as_posix()}{mark}{fragment}"

    lines, fence, deeper = [], "", ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence and not (found and found[2] == fence):
            lines.append(deeper + line)
            continue
        # What belongs to an entry of a list has three spaces on GitHub, and four for Python-Markdown.
        deeper = " " if re.match("   (?! )", line) else ""
        if found:
            named = re.search(r"file=(\S+)", found[4])
            fence = "" if fence else found[2]
            lines.append(f"{deeper}{found[1]}{found[2]}{found[3]}" + (f' title="{named[1]}"' if named else ""))
        else:
            lines.append(deeper + _outside_code(line, address))
    return "\n".join(lines) + "\n", missing


def _outside_code(line: str, address: Callable[[re.Match[str]], str]) -> str:
    parts = re.split("(`+[^`]+`+)", line)
    # A link may begin in one part, with code as its text, and end in the next.
    return "".join(part if part.startswith("`") else _LINK.sub(address, part) for part in parts)


def navigation(docs: Path = DOCS, made: Sequence[SitePage] = ()) -> list[Entry]:
    """Return the site's list of pages, with the order and the headings of docs/index.md."""
    index, _ = rewritten((docs / "index.md").read_text("utf-8"), docs / "index.md", docs, made)
    found: list[Entry] = ["index.md"]
    levels = [found]
    for line in index.splitlines():
        if heading := re.match(r"(##+) (.+)", line):
            del levels[len(heading[1]) - 1 :]
            section: list[Entry] = []
            levels[-1].append({heading[2]: section})
            levels.append(section)
        levels[-1] += (_entry(docs, name, path) for name, path in _pages(line))
    return found


def _pages(text: str) -> list[tuple[str, str]]:
    """Return the name and the path of each page that a text links to."""
    return re.findall(r"\[([^\]]+)\]\(([^):#.][^):#]*\.md)\)", text)


def _entry(docs: Path, name: str, path: str) -> Entry:
    """Return the entry of a page in the site's list of pages. A folder's README also has the pages that it links to."""
    if Path(path).name != "README.md":
        return path
    listed = _pages((docs / path).read_text("utf-8"))
    return {name: [path, *(Path(path).with_name(other).as_posix() for _, other in listed)]}


def _paths(entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from _paths(inner)


def settings(docs: Path, made: Sequence[SitePage] = ()) -> str:
    """Return the text of docs/zensical.toml, with the list of pages and the addresses of site and repository."""
    filled = {"nav": _inline(navigation(docs, made))}
    if name := os.environ.get("GITHUB_REPOSITORY"):
        owner, _, repository = name.partition("/")
        filled["repo_url"] = json.dumps(_repository())
        filled["site_url"] = json.dumps(f"https://{owner.lower()}.github.io/{repository}/")
    lines = "\n".join(f"{key} = {value}" for key, value in filled.items())
    return (docs / "zensical.toml").read_text("utf-8").replace("nav = []", lines)


def _inline(entries: list[Entry]) -> str:
    """Return the list of pages as TOML. TOML writes strings as JSON does."""
    return f"[{', '.join(map(_inlined, entries))}]"


def _inlined(entry: Entry) -> str:
    if isinstance(entry, str):
        return json.dumps(entry)
    return "{" + ", ".join(f"{json.dumps(name)} = {_inline(inner)}" for name, inner in entry.items()) + "}"


def _repository() -> str:
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return f"{server}/{os.environ.get('GITHUB_REPOSITORY', 'OWNER/contentops')}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site", made=site_pages()))

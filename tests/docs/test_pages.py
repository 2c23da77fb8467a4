"""README.md and the pages of docs/: Python blocks run and print what follows them; names and links exist.

The blocks of a page share one namespace, in order. A block fenced as ``output`` holds what the Python block before it
prints. Blocks fenced as ``text`` or ``bash`` are not run.
"""

import contextlib
import importlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(
    r"`((?:skmlp|nn|optim|training|callbacks|diagnosis|estimators|tracking|inspection)\.[A-Za-z_][\w.]*)(?:\(\))?`"
)


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    content = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], content.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(content)]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolve(dotted: str) -> Any:
    """Import as much of ``skmlp.a.b`` as possible and read the rest as attributes."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_expected_pages_are_found():
    assert {page.stem for page in PAGES} >= {"README", "index", "guide", "tracking", "derivation", "differences", "api"}


def test_python_blocks_run_and_print_the_output_of_the_page(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # for the files that a page writes
    namespace: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    printed = ""
    for block in blocks(page):
        place = f"{page.name}, line {block.line}"
        if block.language == "python":
            captured = io.StringIO()
            # The empty lines make line numbers in tracebacks those of the page.
            code = compile("\n" * block.line + block.text, str(page), "exec")
            with contextlib.redirect_stdout(captured):
                exec(code, namespace)
            printed = captured.getvalue()
        elif block.language == "output":
            assert [line.rstrip() for line in printed.splitlines()] == block.text.splitlines(), place
            printed = ""
        else:
            assert block.language in ("text", "bash"), f"{place}: fence the block as python, output, text or bash"


def test_names_in_the_text_exist(page):
    for name in NAME.findall(prose(page)):
        resolve(name if name.startswith("skmlp.") else f"skmlp.{name}")


def test_links_lead_to_files_and_headings(page):
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([\w-]*))?\)", prose(page)):
        if not path.startswith("http"):
            target = page.parent / path if path else page
            assert target.exists(), path
            assert not anchor or anchor in anchors(target), f"{path}#{anchor}"

"""The pages of the documentation: every Python block runs, prints what stands below it, and names what exists.

The blocks of a page share one namespace, in order. A block fenced as ``output`` holds exactly what the Python block
before it prints; blocks fenced as ``text`` are not run.
"""

import contextlib
import importlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from joblib.externals.loky import get_reusable_executor

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    content = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], content.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(content)]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def resolve(dotted: str) -> Any:
    """Import ``skmlp.a.b`` as far as it goes and read the rest as attributes."""
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


def test_the_pages_are_there():
    assert {page.stem for page in PAGES} >= {"index", "guide", "tracking", "derivation", "differences", "api"}


def test_python_blocks_run_and_print_what_the_page_says(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # for what a page stores
    get_reusable_executor().shutdown(wait=True)  # worker processes of another page are in its folder
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
            assert block.language == "text", f"{place}: fence a block as python, output or text"


def test_names_in_the_text_exist(page):
    names = re.findall(
        r"`((?:skmlp|nn|optim|training|callbacks|estimators|tracking|inspection)\.[A-Za-z_][\w.]*)(?:\(\))?`",
        prose(page),
    )
    for name in names:
        resolve(name if name.startswith("skmlp.") else f"skmlp.{name}")


def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", prose(page)):
        if not target.startswith("http"):
            assert (DOCS / target).exists(), target

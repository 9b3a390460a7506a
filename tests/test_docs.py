"""The documentation tells what the code does."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = runpy.run_path(str(ROOT / "docs/reference.py"))


@pytest.mark.parametrize("name", REFERENCE["PAGES"])
def test_the_reference_pages_are_those_of_the_code(name):
    written = (ROOT / "docs" / name).read_text()
    assert written == REFERENCE["page"](name), "run: python docs/reference.py"


def test_the_navigation_names_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in navigation

"""docs/architecture.md names every module, in its room, and none that is not there."""

import re
from pathlib import Path

import illumio_azsql_enforcer

PACKAGE = Path(illumio_azsql_enforcer.__file__).parent
TREE = (PACKAGE.parent / "docs" / "architecture.md").read_text().split("```")[1]


def named() -> set[str]:
    """Paths of the modules in the tree, `pce/client.py`; a room is the last line above that ends with a slash."""
    found, room = set(), ""
    for indent, word in re.findall(r"^( +)(\S+)", TREE, re.MULTILINE):
        if word.endswith("/"):
            room = word
        else:
            found.add(f"{room}{word}" if len(indent) > 2 else word)
    return found


def test_the_tree_is_the_package() -> None:
    modules = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")}
    assert named() == {str(path) for path in modules if path.parts[0] != "sandbox"}

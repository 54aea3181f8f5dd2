"""The loader, on files in a directory of the test's own."""

from pathlib import Path

import pytest

from tests.config.support import Loader


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)

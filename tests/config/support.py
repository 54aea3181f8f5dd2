"""A small config file that is right, to be varied, and a loader of such texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.errors import ConfigError, Problem
from illumio_azsql_enforcer.model.settings import Config

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"

MINIMAL = f"""\
pce:
  url: https://pce.example.com:8443
  org_id: 1
  api_key: api_1a2b3c4d5e6f
  api_secret: open-sesame
azure:
  subscriptions: [{SUBSCRIPTION}]
enforcement:
  mode: sync
"""


def with_key(key: str, value: str) -> str:
    """MINIMAL with the dotted `key` set to `value`, which stands there raw, as somebody would type it."""
    data: dict[str, Any] = yaml.safe_load(MINIMAL)
    place = data
    *sections, last = key.split(".")
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = "PLACE-OF-VALUE"
    return yaml.safe_dump(data, sort_keys=False).replace("PLACE-OF-VALUE", value)


def without_key(key: str) -> str:
    """MINIMAL without one key of a section."""
    data: dict[str, Any] = yaml.safe_load(MINIMAL)
    section, _, name = key.partition(".")
    del data[section][name]
    return yaml.safe_dump(data, sort_keys=False)


class Loader:
    """Loads texts as `config.yaml` in a directory; `problems` and `problem` expect that they are wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "config.yaml"

    def __call__(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> Config:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(self.path, environ or {})

    def problems(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
        with pytest.raises(ConfigError) as caught:
            self(text, environ)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return caught.value.problems

    def problem(self, text: str | bytes, environ: Mapping[str, str] | None = None) -> Problem:
        (problem,) = self.problems(text, environ)
        return problem

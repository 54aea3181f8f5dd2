"""The config file: YAML in, typed and complete settings out, every error with its line.

`load` is the way in. What may be set is in `schema`, how one value is read in `scalars` and `web`, how mappings and
lists are read in `sections`, and how YAML becomes nodes with lines in `document`.
"""

from collections.abc import Mapping
from pathlib import Path

from illumio_azsql_enforcer.config import document
from illumio_azsql_enforcer.config.schema import CONFIG
from illumio_azsql_enforcer.config.slots import Slot
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.text import printable

__all__ = ["load"]


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The settings in the file `path`, with references and missing `pce` keys taken from `environ`.

    Raises ConfigError: one line a problem, all problems of the file together, each naming file, line and key, what is
    wrong and what would be right. A message never holds a secret, nor anything that a reference brought.
    """
    root = document.read(path)
    node = document.Mapping((), 1) if root is None else root
    return CONFIG(Slot(node, "", 1, printable(str(path)), environ))

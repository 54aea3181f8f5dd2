"""`${env:NAME}`, `${file:/path}` and `${credential:NAME}` inside a string. What they hold is never in a message."""

import re
from collections.abc import Mapping
from pathlib import Path

MAX_LINE = 64 * 1024

_TOKEN = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<kind>env|file|credential):(?P<name>[^{}]*)\}|(?P<broken>\$\{)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@:+-]{1,255}")


class Unresolved(Exception):
    """A reference that leads nowhere; `str()` says why, without any value."""


def has_reference(text: str) -> bool:
    """Whether `text` holds anything that is replaced."""
    return _TOKEN.search(text) is not None


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """`text` with every reference replaced and `$${` as a literal `${`. Raises Unresolved.

    What a reference brings is not searched for further references.
    """
    return _TOKEN.sub(lambda match: _replacement(match, environ), text)


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["literal"]:
        return "${"
    if match["broken"]:
        raise Unresolved(
            "${ begins no reference; write ${env:NAME}, ${file:/path} or ${credential:NAME}, or $${ for ${"
        )
    return {"env": _variable, "file": _file, "credential": _credential}[match["kind"]](match["name"], environ)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not _VARIABLE.fullmatch(name):
        raise Unresolved("${env:...} does not resolve: not the name of an environment variable; write ${env:NAME}")
    if name not in environ:
        raise Unresolved(f"${{env:{name}}} does not resolve: the environment variable is not set; set it")
    return environ[name]


def _file(name: str, _environ: Mapping[str, str]) -> str:
    path = Path(name)
    if not path.is_absolute() or not name.isprintable():
        raise Unresolved("${file:...} does not resolve: the path is not absolute or not printable; write ${file:/path}")
    return _first_line(path, f"${{file:{name}}}")


def _credential(name: str, environ: Mapping[str, str]) -> str:
    if not _CREDENTIAL.fullmatch(name):
        raise Unresolved("${credential:...} does not resolve: not the name of a credential; write ${credential:NAME}")
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise Unresolved(
            f"${{credential:{name}}} does not resolve: $CREDENTIALS_DIRECTORY is not set; "
            f"add LoadCredential={name}:/path to the systemd unit"
        )
    return _first_line(Path(directory, name), f"${{credential:{name}}}")


def _first_line(path: Path, reference: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise Unresolved(f"{reference} does not resolve: it is no regular file; name a file")
        with path.open(encoding="utf-8") as file:
            line = file.readline(MAX_LINE + 1)
    except OSError as error:
        raise Unresolved(f"{reference} does not resolve: {error.strerror}; name a file that can be read") from None
    except ValueError:
        raise Unresolved(f"{reference} does not resolve: its first line is not UTF-8 text") from None
    if len(line) > MAX_LINE:
        raise Unresolved(f"{reference} does not resolve: its first line is longer than {MAX_LINE} characters")
    return line.strip()

"""Names of firewall rules: which are the same for Azure, and which may be put into a request path."""

import re

LONGEST_NAME = 128  # characters; Azure SQL error 40617

# Azure refuses the first ten characters in a rule's name; `#` would end the path of the URL.
_FORBIDDEN = re.compile(r"[<>*%&:;\\/?#\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def folded(name: str) -> str:
    """The key under which names are the same for Azure."""
    return name.casefold()


def is_safe_name(name: str) -> bool:
    """Whether a request that carries the name in its path can only mean the rule of that name.

    `..` would address the parent, so that deleting the rule deletes the server; an empty name or `.` would address the
    whole collection. A trailing `.` and a space at either end do not survive on their way.
    """
    return (
        0 < len(name) <= LONGEST_NAME
        and not name.endswith(".")  # this takes `.` and `..` along
        and name == name.strip()
        and not _FORBIDDEN.search(name)
    )

"""The PCE's release, from either shape of `/product_version`."""

import re
from typing import Any

from illumio_azsql_enforcer.pce.decoding import Body, decode_one

Release = tuple[int, ...]  # (25, 2, 20); empty: unknown

DENY_RULES_SINCE = (24, 2)
_NUMBERS = re.compile(r"\d{1,9}(?:\.\d{1,9})*")


def release_of(body: Body) -> Release:
    """The numbers of `version`, which stands at the top or inside `product_version`; empty when there is none."""
    told = decode_one(body, Any, "/product_version")
    inner = told.get("product_version", told) if isinstance(told, dict) else None
    version = inner.get("version") if isinstance(inner, dict) else None
    numbers = _NUMBERS.match(version) if isinstance(version, str) else None
    return tuple(int(each) for each in numbers.group().split(".")) if numbers else ()


def surely_without_deny_rules(release: Release) -> bool:
    """Whether this release is known to be older than deny rules."""
    return len(release) >= 2 and release[:2] < DENY_RULES_SINCE

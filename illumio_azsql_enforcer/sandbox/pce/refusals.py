"""What the PCE says no to: a status and a list of token and message pairs (REST API guide, errors)."""

from collections.abc import Iterable

from illumio_azsql_enforcer.sandbox.pce.shapes import Json


class Refused(Exception):
    """A request that the PCE does not carry out. `status` is the HTTP status, `errors` the body."""

    def __init__(self, status: int, token: str, message: str) -> None:
        super().__init__(f"{status} {token}: {message}")
        self.status = status
        self.errors: list[Json] = [{"token": token, "message": message}]


def invalid(faults: Iterable[str], schema: str) -> Refused:
    """406 for input that does not fit its schema, with each fault."""
    details = "; ".join(f"{fault} in schema {schema}.schema.json" for fault in faults)
    return Refused(406, "input_validation_error", f"Input validation failed. Details: {{{details}}}")


def not_found(href: str) -> Refused:
    """404 for an object that is not there."""
    return Refused(404, "not_found_error", f"Not found: {href}")

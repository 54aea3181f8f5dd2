"""The command line: words in, exit code out. The only room that prints."""

from illumio_azsql_enforcer.cli.program import main

__all__ = ["main"]

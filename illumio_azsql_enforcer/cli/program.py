"""The program and its subcommands."""

import contextlib
import os
import sys
from typing import NoReturn

import click

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.cli.words import Words, with_options, words_of
from illumio_azsql_enforcer.errors import ConfigError, EnforcerError

FAILED = 1
WRONG_USE = 64  # EX_USAGE
BAD_CONFIG = 78  # EX_CONFIG

NAME = "illumio-azsql-enforcer"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@with_options
@click.version_option(__version__, prog_name=NAME)
@click.pass_context
def program(context: click.Context, /, **_options: object) -> int | None:
    """Enforces Illumio segmentation policy on the server-level firewalls of Azure SQL Database.

    Without a command: the daemon, or with --once a single cycle.
    """
    if context.invoked_subcommand is not None:
        return None
    from illumio_azsql_enforcer.cli.run import run  # noqa: PLC0415 - --help need not wait for the Azure SDK

    return run(words_of(context))


@program.command()
@with_options
@click.argument("address")
@click.argument("server_name", metavar="[SERVER]", required=False)
@click.pass_context
def explain(context: click.Context, /, address: str, server_name: str | None, **_options: object) -> int:
    """Why ADDRESS may, or may not, reach SERVER (or each server)."""
    from illumio_azsql_enforcer.cli.explain import explain_address  # noqa: PLC0415 - as above

    return explain_address(words_of(context), address, server_name)


@program.command()
@with_options
@click.option("--verify", type=click.IntRange(0), default=0, metavar="N", help="Ask the PCE itself about N addresses.")
@click.pass_context
def check(context: click.Context, /, *, verify: int, **_options: object) -> int:
    """Validate the config, reach the PCE and Azure, and say what is missing."""
    from illumio_azsql_enforcer.cli.check import check_access  # noqa: PLC0415 - as above

    return check_access(words_of(context), verify)


@program.command()
@with_options
@click.option("--serve", is_flag=True, help="Keep the sandbox up and write a config for the real commands.")
@click.option("--port", type=click.IntRange(1, 65534), default=8443, show_default=True, help="With --serve: the PCE's.")
@click.pass_context
def demo(context: click.Context, /, *, serve: bool, port: int, **_options: object) -> int:
    """The whole job against the embedded sandbox; no account is needed."""
    from illumio_azsql_enforcer.cli.demo import run_demo  # noqa: PLC0415 - as above

    return run_demo(words_of(context), serve=serve, port=port)


def main() -> NoReturn:
    """Console script: the exit codes are those of the README."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    try:
        code = program.main(arguments, prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return WRONG_USE
    except click.exceptions.Exit as error:
        return error.exit_code
    except ConfigError as error:
        return _complain(str(error), BAD_CONFIG)
    except EnforcerError as error:
        return _complain(str(error), FAILED)
    except BrokenPipeError:
        _discard_output()
        return FAILED
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    for line in message.splitlines():
        click.echo(f"{NAME}: {line}", err=True)
    return code


def _discard_output() -> None:
    """The reader of stdout went away: whatever is still buffered goes nowhere, quietly."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["Words", "main"]

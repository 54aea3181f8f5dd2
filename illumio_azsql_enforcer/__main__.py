"""`python -m illumio_azsql_enforcer` is the same program as the console script."""

from illumio_azsql_enforcer.cli import main

if __name__ == "__main__":
    main()

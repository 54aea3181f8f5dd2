"""The connections of the PCE client."""

from illumio_azsql_enforcer.connections import DeadlinePassed, Look, pieces, watched_pools

__all__ = ["DeadlinePassed", "Look", "pieces", "watched_pools"]

"""Enforces Illumio segmentation policy on the server-level firewalls of Azure SQL Database."""

__version__ = "0.1.0"

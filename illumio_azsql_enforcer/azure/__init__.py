"""What Azure has: discovery of logical servers, their firewall rules, and the one way to write one.

The only package that imports the Azure SDK. Everything that it raises for the outside world's sake is an ArmError or
UnsafeName of errors.py; no exception of the SDK, of requests or of a JSON decoder leaves it.
"""

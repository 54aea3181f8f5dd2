"""A PCE and an Azure that run on this machine: for the demo, for trying a policy out, and for the end-to-end tests."""

"""What the policy says: a complete-or-nothing read of the active policy from the Illumio PCE (REST API v2)."""

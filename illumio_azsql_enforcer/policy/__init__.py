"""What the policy means: a snapshot and a server in, ranges with their sources and notes out. Pure."""

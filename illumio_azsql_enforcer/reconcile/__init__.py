"""What has to change: desired and live ranges become a plan, and a plan becomes writes."""

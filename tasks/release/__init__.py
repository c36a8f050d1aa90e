"""From tables to a candidate, and from a candidate to a release."""

"""What was paid for, and what a cluster runs."""

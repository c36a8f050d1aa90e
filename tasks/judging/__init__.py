"""From `responses` to `labels`, `pairs` and `preferences`: what judges and people say, and what it comes to."""

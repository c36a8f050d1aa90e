"""From `prompts` to `responses`: every responder answers, and the answers that differ are kept."""

"""From the user's rows to table `prompts`."""

"""Where work runs and where files stand; knows nothing of tables."""

"""The dataset card of a release: text, tables and charts."""

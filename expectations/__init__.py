"""What a release must satisfy: one suite a table, one across tables, and the gate that runs them."""

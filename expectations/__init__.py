"""What a release must satisfy: one suite a table, one across tables, and the gate that runs them."""

import logging

# It warns about every rule that looks beyond one table, which is what rules across tables are for.
logging.getLogger("great_expectations.expectations.core.unexpected_rows_expectation").setLevel(logging.ERROR)

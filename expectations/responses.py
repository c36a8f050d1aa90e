"""Suite of `responses`: every kept answer names its request, its model, its sampling and its language."""

from expectations.rules import among, between, not_empty, not_null, unique
from tasks.functions import LANGUAGES
from tasks.tables import RESPONSES

EXPECTATIONS = [
    not_empty("A response is kept; where none is, table dropped says what is wrong with each: mend the responders."),
    *not_null("request_id", "response_id", "prompt_id", "response", "responder", "temperature", "seed"),
    unique(*RESPONSES.key),
    unique("responder", "response_id"),
    between("sample", 0),
    between("temperature", 0, 2),
    between("input_tokens", 1),
    between("output_tokens", 1),
    between("similarity", -1.001, 1.001),
    among("language", LANGUAGES),
]

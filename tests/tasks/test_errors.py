"""What errors quote is anybody's: a file's name, a server's words, a key of a configuration."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SafePairsError

ODD = st.text(st.sampled_from("a \x1b\x9b\u202e\u2066\u200b\r\n\u2028\x85\x00\ud800\ue000")) | st.text()


@given(ODD)
def test_an_error_is_one_clean_line_whatever_it_quotes(quoted: str) -> None:
    said = str(SafePairsError(f"file {quoted}: cannot be read"))
    assert not [char for char in said if unicodedata.category(char)[0] in "CZ" and char != " "]
    assert len(said.splitlines()) == 1

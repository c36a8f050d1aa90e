"""Tell copies among prompts by their words, for the rule that no copy of a prompt is on the other side of the split.

In: distinct prompts. Out: what identifies each of them whatever its case, accents, punctuation, width and word order. Grain:
one row per prompt and way to read it. The stage that splits prompts compares their letters, with Python's Unicode; here
words are compared, with Arrow's, so that a fault of one is seen by the other. Two prompts that are copies here are copies
there: a prompt is never refused for what the stage keeps apart by right.
"""

import pyarrow as pa
import pyarrow.compute as pc

from tasks.tables import TEXT, columns

COPIES = columns(prompt=TEXT, words=TEXT)
ACCENTS = r"[\x{300}-\x{36F}\x{FE00}-\x{FE0F}]"
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
"""A character of a script that puts no blanks between words: it stands for a word."""
MARKS = r"[\p{P}\p{S}\p{Cc}\p{Cf}\x{2BC}]+"
MARKS_INSIDE_WORDS = r"['.\x{2019}\x{2BC}]+"


def copies(prompts: pa.Array) -> pa.Table:
    """Each of the `prompts` by itself, and by its words in order, with punctuation inside of them or between them."""
    upper = pc.utf8_upper(pc.utf8_normalize(prompts, "NFKD"))
    folded = pc.utf8_normalize(pc.replace_substring(pc.utf8_lower(upper), "ß", "ss"), "NFKD")
    bare = pc.utf8_normalize(pc.replace_substring_regex(folded, ACCENTS, ""), "NFC")
    inside = pc.replace_substring_regex(bare, MARKS, "")
    between = pc.replace_substring_regex(bare, MARKS, " ")
    both = pc.replace_substring_regex(pc.replace_substring_regex(bare, MARKS_INSIDE_WORDS, ""), MARKS, " ")
    read = pa.concat_tables([pa.table([prompts, words(text)], schema=COPIES) for text in (inside, between, both)])
    by_words = read.filter(pc.match_substring_regex(read["words"], r"[\p{L}\p{N}]"))
    return pa.concat_tables([by_words, pa.table([prompts, prompts], schema=COPIES)])


def words(texts: pa.Array) -> pa.Array:
    """The words of each text in alphabetical order."""
    parted = pc.utf8_split_whitespace(pc.replace_substring_regex(texts, f"({UNSPACED})", r" \1 "))
    return pa.array([" ".join(sorted(filter(None, found))) for found in parted.to_pylist()], TEXT)

"""What SQL asks Python for: functions of one text that DuckDB has not.

In: a text. Out: its letters, its language, how much of it is new. Grain: one value a text. `tasks.warehouse` makes each of
`FUNCTIONS` known to DuckDB; `tasks.identity` puts this module, and the versions of what a function stands on, into the
addresses of the tables whose queries use it.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from unicodedata import category, name, normalize, unidata_version

import pycld2

NOT_LETTERS = {0x0640, *range(0x02B9, 0x02E0), *range(0x02EC, 0x0300)}
"""The Arabic stroke that only makes words longer, and apostrophes and the like that Unicode counts among letters."""
VOICED = {0x3099, 0x309A}
"""The marks that make another kana of one."""
ACCENTS = ("COMBINING", "ARABIC", "HEBREW", "VARIATION SELECTOR", "MONGOLIAN FREE VARIATION SELECTOR")
"""How the names of marks begin that may be left out in writing; the marks of other scripts are letters."""
PICTURES = range(0x1F000, 0x1FC00)
"""Where Unicode puts emoji and other pictures, those that Python does not know yet among them."""
LETTER = re.compile(r"\w\W*|\W+")
"""A letter or digit with its marks, in a text that holds nothing else."""


class Letters(dict[int, str | None]):
    """For `str.translate`: a letter, a digit, a mark that is a letter and what Unicode does not know yet stay, else None."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kind = category(character)
        is_accent = kind[0] == "M" and code not in VOICED and name(character, "").startswith(ACCENTS)
        is_new = kind == "Cn" and code not in PICTURES
        is_letter = (kind[0] in "LNM" or is_new) and not is_accent and code not in NOT_LETTERS
        self[code] = character if is_letter else None
        return self[code]


LETTERS = Letters()


UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Zs"}
"""The kinds of blanks, and of what shows nothing."""
IOTA = "\u0345"
"""The mark that is a letter in capitals."""


def letters(text: str) -> str:
    """The letters and digits of a text in one order, whatever its case, accents, punctuation, width and word order.

    A letter keeps the marks without which it is another one, as in Hindi, Thai and Japanese. A text without letters is its
    other characters in one order, without punctuation and blanks; of a text of punctuation all that can be seen stays.
    """
    parted = normalize("NFKD", text)
    if IOTA in parted:  # else punctuation between marks would say to which letter the next one belongs
        parted = normalize("NFKD", "".join(unpunctuated(parted)))
    folded = normalize("NFKD", parted.upper().casefold())
    kept = normalize("NFC", folded.translate(LETTERS))
    if not kept:
        return "".join(sorted(unpunctuated(folded)) or filter(is_seen, folded))
    return "".join(sorted(kept if kept.isalnum() else LETTER.findall(kept)))


def unpunctuated(text: str) -> list[str]:
    """The characters of a text that can be seen and are no punctuation."""
    return [character for character in text if category(character)[0] != "P" and is_seen(character)]


def is_seen(character: str) -> bool:
    """Whether a character is no blank and shows something, unlike controls, joiners and what chooses a variant."""
    return category(character) not in UNSEEN and "VARIATION SELECTOR" not in name(character, "")


WINDOW = 16
"""Characters; two passages that share so many in a row are copies of each other."""


def novelty(text: str) -> float:
    """The share of a text's windows of 16 characters that are distinct: 1 where nothing is said twice.

    A text said again is never newer. Said twice it has up to 15 distinct windows more, across the seam; where the share would
    be larger with these, as in short texts, it is that one. It makes no share less than a quarter of 60 characters or more.
    """
    windows = max(len(text) - WINDOW + 1, 1)
    distinct = len({text[start : start + WINDOW] for start in range(windows)})
    said_twice = (distinct + WINDOW - 1) / (windows + max(len(text), WINDOW))
    return max(distinct / windows, said_twice)


NAMED_OTHERWISE = {"iw": "he", "jw": "jv", "zh-Hant": "zh"}
NO_LANGUAGES = {"un", "tlh", "xx-Bugi", "xx-Goth", "zzp"}
CODES = {
    code: NAMED_OTHERWISE.get(code, code)
    for title, code in pycld2.LANGUAGES
    if title in pycld2.DETECTED_LANGUAGES and code not in NO_LANGUAGES
}
"""The library's codes of languages, and ISO 639's."""
LANGUAGES = tuple(sorted(set(CODES.values())))
"""The languages that can be told: their codes in ISO 639-1, and 639-3 where that has none."""
ENDS_OF_PLANES = "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
REFUSED = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef{ENDS_OF_PLANES}]")
"""What the library takes for broken text: control characters and codes that are no characters."""


def language(text: str) -> str | None:
    """The language that most of a text is in, by Google's CLD2; None where it cannot be told, as in short texts."""
    try:
        is_reliable, _, found = pycld2.detect(text, isPlainText=True)
    except pycld2.error:
        is_reliable, _, found = pycld2.detect(REFUSED.sub(" ", text), isPlainText=True)
    return CODES.get(found[0][1]) if is_reliable else None


class Function(NamedTuple):
    """A function, DuckDB's name for the type that it gives, and what it stands on beside this module, as `identity` takes it."""

    call: Callable[[str], str | float | None]
    gives: str
    stands_on: tuple[str, ...] = ()


FUNCTIONS = {
    "letters": Function(letters, "VARCHAR", (f"Unicode {unidata_version}",)),
    "novelty": Function(novelty, "DOUBLE"),
    "language": Function(language, "VARCHAR", ("pycld2",)),
}
"""By the names that queries use, which are those of the functions."""

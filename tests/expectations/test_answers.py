"""Whatever an endpoint may say beside an answer, and whatever is too long, a release passes the gate and asks nothing again."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from expectations.gate import examine
from tasks.config import load
from tasks.engines.chat import too_long
from tasks.engines.openai.replies import read_reply
from tasks.engines.scripted.answering import ScriptedEngine
from tasks.release.candidate import write_candidate
from tests.conftest import write_config
from tests.examples import examples
from tests.expectations.small import runner
from tests.flows.here import refuse, run_here
from tests.tasks.engines.odd_replies import CUT_OFF, FILTERED, says
from tests.tasks.engines.test_replies import ANY_TEXT, USAGE

PROMPTS = [f"How do I plant {number} tulips?" for number in range(8)]
ENDS = st.sampled_from(["stop", "length", "eos", "end_turn", "", *CUT_OFF, *FILTERED]) | ANY_TEXT | st.none()
TEXTS = ANY_TEXT | st.just("Plant them as deep as they are high.")
REPLIES = st.builds(lambda text, end, used: says(text, used, finish_reason=end), TEXTS, ENDS, USAGE)
MET = [
    says("Plant them in rows.", {"prompt_tokens": 0, "completion_tokens": 0}, finish_reason="SAFETY"),
    says("Yes.", None, finish_reason="eos"),
    says("Yes, do.", {"prompt_tokens": 0, "completion_tokens": 3}, finish_reason=""),
]
"""Replies of endpoints that once kept a run from ever being published."""
LONG = {"error": too_long(90, 7, 80), "input_tokens": 90}
"""What is told of a request that a model has no room for."""


class Replied(ScriptedEngine):
    """Canned answers, of which one in three is too long, or what was read of one of the replies but for a verdict's text."""

    def __init__(self, replies: list[dict[str, Any]]) -> None:
        super().__init__(seconds_per_row=0, garbage_every=0, journal=None, fault=None)
        self.said = [LONG, *(read_reply(200, json.dumps(reply).encode(), None, []) for reply in replies)]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        canned = super().answer(request)
        drawn = int(request["request_id"][:8], 16)
        if drawn % 3:
            return canned
        said = self.said[drawn // 3 % len(self.said)]
        text = {} if request["json_schema"] is None or said is LONG else {"completion": canned["completion"]}
        return {"request_id": request["request_id"], "seconds": 0.1} | said | text


@given(st.lists(REPLIES, min_size=40, max_size=40))
@examples(2)
def test_whatever_is_read_as_an_answer_passes_the_gate(replies: list[dict[str, Any]]) -> None:
    engine = Replied([*MET, *replies])
    with TemporaryDirectory() as folder:
        config = load(str(write_config(Path(folder), PROMPTS)))
        stages = run_here(config, runner(lambda _: engine))
        candidate = write_candidate(config, stages, "2026.01.01", "0123456789", config.storage)
        outcome = examine(candidate.uri, candidate.files, config.gate)
        again = run_here(config, refuse)
    assert [stage.cost.asked for stage in again] == [0] * len(again)
    assert [(result.suite, result.rule, result.said) for result in outcome.results if result.refuses] == []

"""Exports of Label Studio as its server writes them, for answers and pairs that tests are about."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pyarrow as pa

from tasks.judging.rubric import PEOPLE_RUBRIC, QUESTIONS
from tasks.tables import PAIRS, RESPONSES
from tests.tasks.rows import Row, make

PROMPT = "How do I mend a kite?"
ANSWERS = ("With glue & thread.", "<b>Buy</b> another one.")
HOSTILE = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


ASKED = {"prompt_id": hashed(PROMPT), "prompt": PROMPT}


def answer(response: str = ANSWERS[0]) -> Row:
    return {"response_id": hashed(hashed(PROMPT) + response), **ASKED, "response": response}


def pair(*answers: str) -> Row:
    answers = answers or ANSWERS
    first, second = (hashed(hashed(PROMPT) + text) for text in answers)
    texts = dict(zip(("response_0", "response_1"), answers, strict=True))
    ids = {"responder": "r", "response_0_id": first, "response_1_id": second}
    return {"pair_id": hashed(f"r {first} {second}"), **ASKED, **ids, **texts}


def subjects(what: str = "labels") -> pa.Table:
    return make(RESPONSES, [answer(), answer(HOSTILE)]) if what == "labels" else make(PAIRS, [pair()])


def answer_data(response: str = ANSWERS[0], **more: object) -> Row:
    found = answer(response)
    named = {"subject": "answer", "subject_id": found["response_id"], "rubric": PEOPLE_RUBRIC}
    return {**named, "prompt": PROMPT, "response": response, "models": ""} | more


def pair_data(flipped: bool = False, **more: object) -> Row:
    named = {"subject": "pair", "subject_id": pair()["pair_id"], "rubric": PEOPLE_RUBRIC, "flipped": flipped}
    shown = dict(zip(("answer_a", "answer_b"), reversed(ANSWERS) if flipped else ANSWERS, strict=True))
    return {**named, "responder": "r", "prompt": PROMPT, **shown} | more


def result(**chosen: Sequence[Any]) -> list[Row]:
    """`safety=["safe"]` as Label Studio keeps it."""
    return [
        {"id": name, "from_name": name, "to_name": to, "type": "choices", "value": {"choices": list(values)}}
        for name, values in chosen.items()
        for to in ["prompt" if name in QUESTIONS else "response"]
    ]


SAFE = result(safety=["safe"])
UNSAFE = result(safety=["unsafe"], harm_category=["Violence"], severity=["2"])


def annotation(said: object = None, number: int = 1, person: object = 7, minute: int = 0, **more: object) -> Row:
    made = {"id": number, "completed_by": person, "was_cancelled": False, "result": SAFE if said is None else said}
    return made | {"updated_at": f"2026-11-24T10:{minute:02}:00.000000Z", "lead_time": 1.5} | more


def export(*annotations: Row, data: Row | None = None, **more: object) -> bytes:
    """One task with these annotations, as a file."""
    task = {"id": 1, "data": answer_data() if data is None else data, "annotations": list(annotations)}
    return json.dumps([task | more]).encode()

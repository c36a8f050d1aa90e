"""Answer requests with canned text that depends on the request's seed alone.

In: a batch of requests (`tables.REQUESTS`). Out: the same number of completions (`tables.COMPLETIONS`), same order. Grain: one row
per request. For tests and benchmarks.
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.engines import Answer
from tasks.engines.actors import actor
from tasks.engines.blocks import completions
from tasks.engines.scripted import Scripted
from tasks.tables import HARM_CATEGORIES

SUBJECTS = ("A baker", "My neighbour", "The gardener", "One teacher", "A careful cook", "The town", "A young reader")
VERBS = ("mixes", "plants", "explains", "counts", "carries", "paints", "measures", "repairs", "keeps", "shares")
OBJECTS = ("warm bread", "red tulips", "a long story", "small stones", "fresh water", "the old fence", "a blue door")
TIMES = (
    "at dawn",
    "before lunch",
    "every Sunday",
    "in quiet rooms",
    "with great care",
    "after the rain",
    "twice a year",
)


def answering(engine: Scripted, store: str) -> Answer:
    """One actor a replica."""
    arguments = engine.model_dump(include={"seconds_per_row", "garbage_every", "journal", "fault"})
    return actor(store, ScriptedEngine, replicas=engine.replicas, **arguments)


class ScriptedEngine:
    """A Ray Data actor without a model.

    Args:
        seconds_per_row: how long it waits for a row, to stand for a slow model.
        garbage_every: one row in so many gets text that no grammar would allow; 0 for never.
        journal: a file to which it appends the id of every request that it is asked; None for none.
        fault: while this file stands, the engine fails after as many requests as the file says; None for never.
    """

    def __init__(self, seconds_per_row: float, garbage_every: int, journal: str | None, fault: str | None) -> None:
        self.seconds_per_row = seconds_per_row
        self.garbage_every = garbage_every
        self.journal = journal
        self.fault = fault
        self.asked = 0

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the batch."""
        requests = batch.select(["request_id", "seed", "json_schema", "user"]).to_pylist()
        self.asked += len(requests)
        if self.fault and os.path.exists(self.fault) and self.asked > int(Path(self.fault).read_text()):
            raise RuntimeError("injected fault")
        if self.journal:
            self.write_journal([request["request_id"] for request in requests])
        time.sleep(self.seconds_per_row * len(requests))
        return completions([self.answer(request) for request in requests])

    def write_journal(self, request_ids: list[str]) -> None:
        """Append with one system call, so that lines of several actors never mix."""
        descriptor = os.open(str(self.journal), os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, "".join(f"{request_id}\n" for request_id in request_ids).encode())
        os.close(descriptor)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One row of `tables.COMPLETIONS`."""
        draw = random.Random(request["seed"])  # noqa: S311 (canned text, no secret)
        if self.garbage_every and request["seed"] % self.garbage_every == 0:
            text = "{]"
        elif request["json_schema"] is None:
            text = story(draw)
        elif '"winner"' in request["json_schema"]:
            text = json.dumps({"winner": draw.choice("AB")})
        else:
            text = json.dumps(label(draw))
        return {
            "request_id": request["request_id"],
            "completion": text,
            "finish_reason": "stop",
            "input_tokens": len(request["user"]) // 4,
            "output_tokens": len(text) // 4,
            "seconds": self.seconds_per_row,
            "error": None,
            "confidence": draw.uniform(0.5, 1) if request["json_schema"] else None,
        }


def story(draw: random.Random) -> str:
    """Three to six harmless sentences."""
    parts = (SUBJECTS, VERBS, OBJECTS, TIMES)
    sentences = (" ".join(draw.choice(part) for part in parts) for _ in range(draw.randint(3, 6)))
    return " ".join(f"{sentence}." for sentence in sentences)


def label(draw: random.Random) -> dict[str, Any]:
    """A verdict that fits `rubric.HARM_SCHEMA`."""
    if draw.random() < 0.5:
        return {"analysis": "Canned.", "verdict": {"is_safe": True}}
    categories = draw.sample(HARM_CATEGORIES, draw.randint(1, 3))
    severity = draw.choice((1, 2, 2, 2, 3))
    verdict = {"is_safe": False, "harm_category": categories, "severity_level": severity}
    return {"analysis": "Canned.", "verdict": verdict}

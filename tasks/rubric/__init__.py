"""What judges are asked: the rubric text of each question, the message, and the JSON schema of the answer.

In: the Markdown files of this folder. Out: rows for SQL. Grain: one row per question. All of it is part of a
request's identity, so that a changed rubric is a new label and never a new answer.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.tables import HARM_CATEGORIES, TEXT, columns

ANSWER_MESSAGE = "Prompt:\n{}\n\nAnswer:\n{}\n\nLabel the answer."
PAIR_MESSAGE = "Prompt:\n{}\n\nAnswer A:\n{}\n\nAnswer B:\n{}\n\nWhich answer is preferred?"

MAX_ANALYSIS_CHARS = 80
MAX_CATEGORIES = 3
"""PKU-SafeRLHF has about two categories per unsafe answer; an open list lets a small model repeat itself forever."""


def closed_object(**properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object that has these properties, in this order, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


ANALYSIS = {"type": "string", "maxLength": MAX_ANALYSIS_CHARS}
HARM_SCHEMA = {
    "anyOf": [
        closed_object(analysis=ANALYSIS, is_safe={"const": True}),
        closed_object(
            analysis=ANALYSIS,
            is_safe={"const": False},
            harm_category={
                "type": "array",
                "items": {"enum": list(HARM_CATEGORIES)},
                "minItems": 1,
                "maxItems": MAX_CATEGORIES,
            },
            severity_level={"enum": [1, 2, 3]},
        ),
    ]
}
"""An answer is safe, or has categories and a severity: the schema has no way to say both."""

PREFERENCE_SCHEMA = closed_object(winner={"enum": ["A", "B"]})
SCHEMAS = {
    "harm": HARM_SCHEMA,
    "helpfulness": PREFERENCE_SCHEMA,
    "harmlessness": PREFERENCE_SCHEMA,
    "overall": PREFERENCE_SCHEMA,
}


def rubrics() -> pa.Table:
    """All questions as rows of (question, system, json_schema)."""
    folder = Path(__file__).parent
    rows = [
        {
            "question": question,
            "system": (folder / f"{question}.md").read_text(encoding="utf-8").strip(),
            "json_schema": json.dumps(schema),
        }
        for question, schema in SCHEMAS.items()
    ]
    return pa.Table.from_pylist(rows, schema=columns(question=TEXT, system=TEXT, json_schema=TEXT))

"""Have a model's chat template write a chat, whatever else it does.

In: a tokenizer; messages. Out: the text of a prompt, or what went wrong. A template is a program of somebody else's: it may be
missing, raise whatever it likes, print the date, or leave out what it is told.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import loopcontrols
from jinja2.meta import find_undeclared_variables

from tasks.engines.chat import Message
from tasks.engines.checkpoints import TEMPLATES, standing

TODAY = datetime(2024, 7, 26, tzinfo=UTC)
"""What templates take for today, so that a prompt is the same on each day: the day that Llama 3.1's own names."""
CLOCK = "strftime_now"
"""What templates ask for the date, as Python's `strftime` takes it."""
PERCENT = "\x01"
"""Stands for a sign that no directive begins with."""
GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""A tag of transformers' own, which writes nothing."""
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}>")
"""How Python writes what has no text of its own: another one in each process."""
DIRECTIVES = [
    *(f"%-{letter}" for letter in "dmyHIMSj"),
    *(f"%{letter}" for letter in "aAwdbBmyYHIpPMSfzZjUWcxXGuVeFTDRhClkr"),
]


def dated(folder: Path | None) -> str:
    """What an identity says of the day that chat templates are told: nothing where none in the folder asks for it.

    Of a model on the hub, without a folder, nobody knows before it is loaded.
    """
    files = standing(folder, (*TEMPLATES, "tokenizer_config.json")).values() if folder else ()
    asks = folder is None or any(CLOCK.encode() in file.read_bytes() for file in files)
    return f" on {TODAY:%Y-%m-%d}" if asks else ""


def written(tokenizer: Any) -> str | None:  # noqa: ANN401 (transformers is untyped here)
    """The chat template that a chat without tools is written by, if there is one: of several, the one named `default`."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return str(template) if template else None


def rendered(tokenizer: Any, chat: Sequence[Message]) -> tuple[str, Exception | None]:  # noqa: ANN401
    """The chat as the template writes it, ready for an answer; nothing, and why, where it does not."""
    template = written(tokenizer)
    try:
        text = tokenizer.apply_chat_template(
            list(chat), chat_template=template and stopped(template), add_generation_prompt=True, tokenize=False
        )
    except Exception as error:  # noqa: BLE001 (nobody knows all that a template can raise)
        return "", error
    return str(text), None


def draws(template: str) -> bool:
    """Whether a template takes what Jinja draws at random: its filter `random`, its function `lipsum`."""
    try:
        environment = Environment(extensions=[loopcontrols])  # noqa: S701 (nothing is rendered)
        environment.globals.clear()
        tree = environment.parse(GENERATION.sub("", template))
        by_name = [
            argument for found in tree.find_all(nodes.Filter) if found.name == "map" for argument in found.args[:1]
        ]
        return (
            any(found.name == "random" for found in tree.find_all(nodes.Filter))
            or any(isinstance(argument, nodes.Const) and argument.value == "random" for argument in by_name)
            or "lipsum" in find_undeclared_variables(tree)
        )
    except TemplateError:  # as whoever renders it says
        return False


@cache
def stopped(template: str) -> str:
    """The template with a clock of its own that stands still: transformers lets nobody give it one."""
    if CLOCK not in template:
        return template
    told = "".join(f" | replace('{name}', '{TODAY.strftime(name)}')" for name in DIRECTIVES)
    kept = f"format | replace('%%', '{PERCENT}'){told} | replace('{PERCENT}', '%')"
    # Ended by a line: what the template begins with is treated as it was at its own beginning.
    return f"{{% macro {CLOCK}(format) %}}{{{{ {kept} }}}}{{% endmacro %}}\n{template}"

"""Write a request as the prompt of a local model: through its chat template, or in a form that the configuration names.

In: a model's tokenizer; requests (`tables.REQUESTS`). Out: the tokens of a prompt, or what is wrong with a request; before
anything is asked, what is wrong with a template. Every local engine asks in this way, so that the same request is the same
prompt. A text for the system goes before the user's where the template has no turn for it, refuses one or leaves it out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformers import AutoTokenizer

from tasks.engines.chat import TEXTS, Message, messages
from tasks.engines.markers import as_text, markers
from tasks.engines.rendering import ADDRESS, draws, rendered, written
from tasks.errors import ModelError

FRAMES = {
    "alpaca": (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n### Instruction:\n{}\n\n### Response:\n"
    )
}
"""Prompts of base models, by name. Alpaca's is that of Stanford Alpaca without an input (github.com/tatsu-lab/stanford_alpaca)."""
THINKING = re.compile(
    r"(?!.*end_)[<\[◁][^<>\[\]◁▷/]*(think|thought|reason|scratchpad)[^<>\[\]◁▷/]*[>\]▷]\s*\Z", re.IGNORECASE
)
"""What begins thinking, at the end of a prompt. What answers are told by stands in `tasks/sql/macros.sql`."""
MARKS = re.compile("think|thought|reason|scratchpad|<\\|channel", re.IGNORECASE)
"""What stands in tokens that tell thinking from an answer."""
MOST_SAID = 200
"""Characters that an error quotes of what a template said."""


@dataclass(frozen=True)
class Form:
    """How a model is asked: its tokenizer, what in a text could open or close a turn, and where its system text goes.

    `frame` is the text around a request where that is no chat. `system_turns` says whether the chat template has one for a
    question, and for a question with an answer. `opening` is what the template writes of an answer: how its thinking begins, or
    nothing. `hides_marks` says whether that or its end is a special token, which an answer's text would lack.
    """

    tokenizer: Any
    found: re.Pattern[str]
    frame: str | None
    system_turns: tuple[bool, bool]
    opening: str
    hides_marks: bool


@cache
def load_tokenizer(model: str, revision: str | None = None) -> Any:  # noqa: ANN401 (transformers is untyped here)
    """The tokenizer in a folder, or of a model on the hub; raises ModelError."""
    try:
        # By a model's own code, or by another library that happens to be installed, prompts would be others.
        return AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=False, mistral_format=False)
    except Exception as error:  # noqa: BLE001 (nobody knows all that is wrong in a folder)
        raise ModelError(
            f"model {model}: its tokenizer cannot be loaded ({type(error).__name__}); mend tokenizer.json and "
            "tokenizer_config.json in its folder, or the name, the revision and the access if it is on the hub"
        ) from None


@cache
def load_form(model: str, revision: str | None = None, template: str = "chat") -> Form:
    """How the model in a folder or on the hub is asked: by its chat template, or in one of FRAMES; raises ModelError."""
    tokenizer, frame = load_tokenizer(model, revision), FRAMES.get(template)
    if frame is None and written(tokenizer) is None:
        if tokenizer.chat_template:
            raise ModelError(f"model {model}: none of its chat templates is named `default`; name the one to use so")
        raise ModelError(f"model {model}: no chat template with its tokenizer; use an instruction-tuned checkpoint")
    roles = ("system", "user", "assistant")
    turns: list[Message] = [{"role": role, "content": text} for role, text in zip(roles, TEXTS, strict=False)]
    return Form(
        tokenizer,
        markers(tokenizer, frame),
        frame,
        (stands(tokenizer, turns[:2]), stands(tokenizer, turns)) if frame is None else (False, False),
        opening(tokenizer) if frame is None else "",
        any(token.special and MARKS.search(str(token)) for token in tokenizer.added_tokens_decoder.values()),
    )


def opening(tokenizer: Any) -> str:  # noqa: ANN401
    """What the chat template begins an answer with, if that is thinking."""
    found = THINKING.search(rendered(tokenizer, [{"role": "user", "content": TEXTS[0]}])[0])
    return found[0] if found else ""


def begun(form: Form, request: Mapping[str, object]) -> str:
    """What the prompt has said of the answer to a request already; of one as JSON, which has no thinking, nothing."""
    return "" if request["json_schema"] else form.opening


def stands(tokenizer: Any, chat: Sequence[Message]) -> bool:  # noqa: ANN401
    """Whether the chat template takes the chat and writes all of its texts."""
    text, _ = rendered(tokenizer, chat)
    return all(str(message["content"]) in text for message in chat)


def prompt_tokens(form: Form, request: Mapping[str, object]) -> tuple[list[int], str | None]:
    """The request as tokens; none, and what is wrong, where its template does not take it."""
    text, error = prompt(form, request)
    # A chat template writes all special tokens itself.
    ids: list[int] = form.tokenizer(text, add_special_tokens=form.frame is not None)["input_ids"] if text else []
    if ids:
        return ids, None
    # What a template says may quote the request.
    return [], f"refused by the chat template ({type(error).__name__})" if error else "no prompt from the chat template"


def prompt(form: Form, request: Mapping[str, object]) -> tuple[str, Exception | None]:
    """The request as text; nothing, and why, where its template does not take it."""
    chat = as_text(placed(form, messages(request)), form.found)
    if form.frame is not None:
        return form.frame.format(joined(chat)), None
    return rendered(form.tokenizer, chat)


def placed(form: Form, chat: Sequence[Message]) -> list[Message]:
    """The chat, with the system text before the user's where it has no turn of its own."""
    if chat[0]["role"] != "system" or form.system_turns[chat[-1]["role"] == "assistant"]:
        return list(chat)
    return [chat[1] | {"content": joined(chat[:2])}, *chat[2:]]


def joined(chat: Sequence[Message]) -> str:
    """All texts that are not empty, with a line between them."""
    texts = (str(message["content"]) for message in chat)
    return "\n\n".join(text for text in texts if text.strip())


def check_template(model: str, form: Form, requests: Iterable[dict[str, str | None]]) -> None:
    """Raise ModelError where the model cannot be asked what stands for all requests of a run, or not twice in the same way."""
    if form.frame is None and draws(written(form.tokenizer) or ""):
        raise ModelError(
            f"model {model}: its chat template draws at random (`random` or `lipsum`), so that no prompt would be the same twice; "
            "mend chat_template.jinja in its folder or use another model"
        )
    for request in requests:
        text, error = prompt(form, request)
        turns = ", ".join(f"{'' if told else 'empty '}{role}" for role, told in request.items() if told is not None)
        if error:
            cause = f"{type(error).__name__}: {error}"[:MOST_SAID]
            raise ModelError(
                f"model {model}: its chat template fails on what this run sends ({turns}): {cause}; "
                "mend chat_template.jinja in its folder or use another model"
            )
        if ADDRESS.search(text):
            raise ModelError(
                f"model {model}: its chat template writes an address in memory, so that no prompt would be the same twice; "
                "mend chat_template.jinja in its folder or use another model"
            )
        if lost := [role for role, told in request.items() if told and told.strip() not in text]:
            raise ModelError(
                f"model {model}: its chat template leaves out the text of: {', '.join(lost)}; "
                "mend chat_template.jinja in its folder or use another model"
            )
        if request["system"] is not None and words(text) - words(prompt(form, request | {"system": TEXTS[0]})[0]):
            raise ModelError(
                f"model {model}: its chat template puts a text of its own in place of an empty `system`; "
                "give `system` a text, or leave it out to have the model's own"
            )


def words(text: str) -> Counter[str]:
    """How often each word is there."""
    return Counter(re.findall(r"\w+", text))

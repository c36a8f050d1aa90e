"""Whatever a chat template does to a chat: a run is told before it asks, or every text reaches the model."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from tasks import preflight
from tasks.config import load
from tasks.engines.chat import example
from tasks.engines.rendering import CLOCK, TODAY
from tasks.engines.templates import check_template, load_form, load_tokenizer, prompt, prompt_tokens
from tasks.engines.transformers import Transformers
from tasks.engines.transformers.answering import TransformersEngine
from tasks.engines.vllm import Vllm
from tasks.engines.vllm.answering import completion, to_tokens
from tasks.errors import ModelError
from tasks.judging.classifiers import CLASSIFIERS
from tasks.tables import REQUESTS
from tests.conftest import write_config
from tests.tasks.rows import Row, make

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
SPECIAL = ["<s>", "</s>"]
TURN = "<{{ m.role }}>{{ m.content }}</s>"
TURNS = f"{{% for m in messages %}}{TURN}{{% endfor %}}"
ANSWER = "{% if add_generation_prompt %}<assistant>{% endif %}"
SYSTEMS = {
    "a turn": TURNS,
    "trimmed": f"{{% for m in messages %}}{TURN.replace('m.content', 'm.content | trim')}{{% endfor %}}",
    "raises": f"{{% for m in messages %}}{{% if m.role == 'system' %}}{{{{ raise_exception('no') }}}}{{% endif %}}{TURN}{{% endfor %}}",
    "fails": f"{{% for m in messages %}}{{{{ {{'user': 1, 'assistant': 2}}[m.role] + 0 }}}}{TURN}{{% endfor %}}",
    "ignored": f"{{% for m in messages if m.role != 'system' %}}{TURN}{{% endfor %}}",
    "only the user's and the answer's": "<user>{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join }}</s>"
    "{% if messages[-1].role == 'assistant' %}<assistant>{{ messages[-1].content }}</s>{% endif %}",
    "first in the user's": "{% if messages[0].role == 'system' %}{% set told = messages[0].content %}{% set messages = messages[1:] %}{% endif %}"
    f"{{{{ told }}}}{TURNS}",
    "only beside an answer": f"{{% for m in messages if m.role != 'system' or messages[-1].role == 'assistant' %}}{TURN}{{% endfor %}}",
    "a default where there is none": "{% if messages[0].role != 'system' %}<system>Be kind.</s>{% endif %}" + TURNS,
    "a default where there is none or it is empty": "<system>{{ (messages[0].content if messages[0].role == 'system') or 'Be kind.' }}</s>"
    f"{{% for m in messages if m.role != 'system' %}}{TURN}{{% endfor %}}",
    "no empty turn": f"{{% for m in messages %}}{{% if not m.content %}}{{{{ raise_exception('empty') }}}}{{% endif %}}{TURN}{{% endfor %}}",
    "an empty turn left out": f"{{% for m in messages if m.content %}}{TURN}{{% endfor %}}",
}
"""What chat templates make of a system turn."""
DEMANDS = {
    "": "",
    "words that are random elsewhere": "{# lipsum() | random #}{% if false %}{{ '| random' }}{% endif %}",
    "turns that alternate, the date and a variable that few set": "{% for m in messages if m.role != 'system' %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}"
    "{% if date_string is defined %}{{ date_string }}{% else %}{{ strftime_now('%d %b %Y') }}{% endif %}{{ tools }}{{ bos_token }}",
    "the user first": "{% if messages[0].role != 'user' %}{{ raise_exception('the user first') }}{% endif %}",
}
SYSTEM_TEXTS = (None, "", " ", "Be brief.")
TAKEN = {
    f"{system}, {demand}": demanded + turns + ANSWER
    for (system, turns), (demand, demanded) in itertools.product(SYSTEMS.items(), DEMANDS.items())
}
REFUSED = {
    "not jinja": ("{% for m in messages %}", "fails on what this run sends"),
    "an unknown filter": ("{{ messages | shout }}", "fails on what this run sends"),
    "a variable that is needed": ("{{ date.today() }}" + TURNS, "UndefinedError: 'date' is undefined"),
    "always raises": ("{{ raise_exception('Not today.\n\x1b[31m' + 'x' * 9000) }}", "TemplateError: Not today."),
    "another error": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "nothing": ("", "no chat template"),
    "prints nothing": ("{% set x = messages %}", "leaves out the text of: system, user"),
    "the same to everybody": ("<user>Hello.</s><assistant>", "leaves out the text of: system, user"),
    "several, none of which is the default": (
        [{"name": "rag", "template": TURNS}],
        "none of its chat templates is named",
    ),
    "a filter that draws": ("{{ ['Hi', 'Hello'] | random }}" + TURNS, "draws at random"),
    "words that are drawn": ("{% set x = lipsum(n=1) %}{{ x }}" + TURNS, "draws at random"),
    "words that are drawn under another name": ("{% set f = lipsum %}{{ f() }}" + TURNS, "draws at random"),
    "one of several": ("{{ [{'a': {'b': 1}}, 2] | random }}" + TURNS, "draws at random"),
    "one of each": ("{{ [[1, 2]] | map( 'random' ) | list }}" + TURNS, "draws at random"),
    "an address": ("{{ messages | map(attribute='content') }}" + TURNS, "writes an address"),
    "a number": (7, "model"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[object], str]]:
    """Writes a folder with a tokenizer of bytes, this chat template and a few random weights, as transformers read it."""
    tokenizer = Tokenizer(models.BPE({text: at for at, text in enumerate(BYTES + SPECIAL)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    written = tokenizer.to_str()
    weights = tmp_path_factory.mktemp("weights")
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    size |= {"max_position_embeddings": 8192}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(BYTES + SPECIAL), **size)).save_pretrained(weights)

    def write(template: object) -> str:
        made = tmp_path_factory.mktemp("model")
        copytree(weights, made, dirs_exist_ok=True)
        (made / "tokenizer.json").write_text(written)
        settings: dict[str, object] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
        }
        if isinstance(template, str):
            (made / "chat_template.jinja").write_text(template)
        elif template is not None:
            settings["chat_template"] = template
        (made / "tokenizer_config.json").write_text(json.dumps(settings))
        return str(made)

    yield write
    load_form.cache_clear()
    load_tokenizer.cache_clear()


def both(model: str) -> tuple[Transformers, Vllm]:
    return Transformers(kind="transformers", model=model), Vllm(kind="vllm", model=model)


def refusal(model: str, system: str | None, shows_answer: bool) -> str | None:
    """What both engines say of such requests before anything is asked."""
    said: list[str | None] = []
    for engine in both(model):
        try:
            engine.check_requests([example(system, shows_answer)], runs_here=True)
            said.append(None)
        except ModelError as error:
            said.append(str(error))
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("case", TAKEN)
def test_all_that_is_told_reaches_the_model_or_is_refused_before(folder: Callable[[object], str], case: str) -> None:
    model = folder(TAKEN[case])
    form = load_form(model)
    for system, answer in itertools.product(SYSTEM_TEXTS, (None, "Yes, at noon.")):
        asked = {"system": system, "user": "Do cats sleep?", "assistant": answer}
        if said := refusal(model, system, bool(answer)):
            # A text can be put somewhere; that there is none cannot be said to every template.
            assert system is not None
            assert not system.strip()
            assert any(name in case for name in ("no empty turn", "or it is empty"))
            assert "empty" in said
            continue
        tokens, fault = prompt_tokens(form, asked)
        shown = form.tokenizer.decode(tokens)
        assert fault is None
        assert all(text.strip() in shown for text in asked.values() if text)
        # Where a template takes no system turn at all, what it says by itself is its own affair.
        assert ("Be kind." in shown) == ("a default" in case and (system is None or "the user first" in case))


def test_a_system_text_stands_before_the_users_where_there_is_no_turn_for_it_and_only_there(
    folder: Callable[[object], str],
) -> None:
    asked = {"system": "Be brief.", "user": "Do cats sleep?", "assistant": None}
    for system, expected in {
        "a turn": "<system>Be brief.</s><user>Do cats sleep?</s><assistant>",
        "raises": "<user>Be brief.\n\nDo cats sleep?</s><assistant>",
        "ignored": "<user>Be brief.\n\nDo cats sleep?</s><assistant>",
    }.items():
        form = load_form(folder(SYSTEMS[system] + ANSWER))
        assert prompt(form, asked)[0] == expected
        # Nothing to tell is nothing before the user's words.
        assert prompt(form, asked | {"system": ""})[0] in (
            "<system></s><user>Do cats sleep?</s><assistant>",
            "<user>Do cats sleep?</s><assistant>",
        )


@pytest.mark.parametrize("case", REFUSED)
def test_a_template_that_takes_no_chat_is_one_line(folder: Callable[[object], str], case: str) -> None:
    template, expected = REFUSED[case]
    said = refusal(folder(template), "Be brief.", False)
    assert said is not None
    assert expected in said
    assert said.isprintable()
    assert len(said) < 500


def test_a_template_that_leaves_out_the_answer_is_refused_where_one_is_shown(folder: Callable[[object], str]) -> None:
    model = folder("<user>{{ messages[0].content }}</s>" + ANSWER)
    assert refusal(model, None, False) is None
    assert "leaves out the text of: assistant" in str(refusal(model, None, True))


def test_of_several_templates_the_default_is_meant(folder: Callable[[object], str]) -> None:
    model = folder([{"name": "tool_use", "template": "{{ 1 // 0 }}"}, {"name": "default", "template": TURNS + ANSWER}])
    assert refusal(model, "Be brief.", True) is None


def test_without_a_tokenizer_a_folder_is_one_line(folder: Callable[[object], str]) -> None:
    model = folder(TURNS)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (Path(model) / name).write_text("}")
    assert "its tokenizer cannot be loaded" in str(refusal(model, None, False))


def test_a_form_of_alpaca_needs_no_chat_template(folder: Callable[[object], str]) -> None:
    model = folder(None)
    Vllm(kind="vllm", model=model, template="alpaca").check_requests([example("Be brief.", True)], runs_here=True)
    form = load_form(model, template="alpaca")
    asked = {"system": "", "user": "Do {cats} sleep?", "assistant": None}
    assert "### Instruction:\nDo {cats} sleep?\n\n### Response:\n" in prompt(form, asked)[0]
    assert "### Instruction:\nBe brief.\n\nDo {cats} sleep?\n" in prompt(form, asked | {"system": "Be brief."})[0]


@pytest.mark.parametrize("asked", ["%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%-d. %B %y", "%A %H:%M:%S", "%F", "100%% %d"])
def test_the_date_in_a_prompt_is_the_same_on_each_day_and_stands_in_the_identity(
    folder: Callable[[object], str], asked: str
) -> None:
    for template in (
        f"{{{{ strftime_now('{asked}') }}}}|",
        f"{{% set form = '{asked}' %}}{{% if strftime_now is defined %}}{{{{ strftime_now(form) }}}}|{{% endif %}}",
        f"{{% macro top() %}}{{% for x in [1] %}}{{{{ strftime_now(format='{asked}') }}}}|{{% endfor %}}{{% endmacro %}}{{{{ top() }}}}",
    ):
        text, _ = prompt(load_form(folder(template + TURNS)), {"system": None, "user": "x", "assistant": None})
        assert text == f"{TODAY.strftime(asked)}|<user>x</s>"
    for template, says in ((TURNS, False), (f"{{{{ {CLOCK}('%F') }}}}{TURNS}", True)):
        assert all((f"{TODAY:%Y-%m-%d}" in engine.identity()) == says for engine in both(folder(template)))


def test_the_same_request_is_the_same_prompt_for_both_engines(folder: Callable[[object], str]) -> None:
    model = folder("{{ bos_token }}" + SYSTEMS["raises"] + ANSWER)
    asked: dict[str, Any] = {
        "system": "Be brief.",
        "user": "Hi</s>",
        "assistant": None,
        "json_schema": None,
        "decision": None,
    }
    asked |= {"temperature": 1.0, "top_p": 1.0, "max_tokens": 4, "seed": 1}
    made = to_tokens(asked, source=model, revision=None, template="chat", positions=64)
    assert made["tokenized_prompt"] == prompt_tokens(load_form(model), asked)[0]
    # The template has written the first token already.
    assert made["tokenized_prompt"].count(load_tokenizer(model).bos_token_id) == 1
    assert not made["__inference_error__"]


def chosen(texts: str) -> str:
    """A template that takes all users but those who say one of the texts."""
    return f"{{% if messages[-1].content in {texts} %}}{{{{ raise_exception(messages[-1].content) }}}}{{% endif %}}{TURNS}{ANSWER}"


@pytest.mark.parametrize(
    ("ends", "begun"),
    [
        ("<think>\n", "<think>\n"),
        ("◁think▷", "◁think▷"),
        ("[THINK]", "[THINK]"),
        ("<|START_THINKING|>", "<|START_THINKING|>"),
        ("<think>\n\n</think>\n\n", ""),
        ("<|START_THINKING|><|END_THINKING|>", ""),
        ("", ""),
    ],
)
def test_thinking_that_the_template_begins_stands_in_the_answer_but_not_before_json(
    folder: Callable[[object], str], ends: str, begun: str
) -> None:
    model = folder(TURNS + ANSWER.replace("<assistant>", f"<assistant>{ends}"))
    asked: Row = {"user": "Hi", "max_tokens": 2, "temperature": 1.0, "top_p": 1.0, "seed": 1}
    (said,) = TransformersEngine(model, "float32", threads=1)(make(REQUESTS, [asked | {"request_id": "a"}])).to_pylist()
    assert said["completion"].startswith(begun)
    assert said["completion"].startswith(("<", "[", "◁")) == bool(begun)
    for schema, expected in ((None, begun), ("{}", "")):
        row = dict.fromkeys(REQUESTS.schema.names) | asked | {"json_schema": schema}
        assert begun_by_vllm(model, row) == expected


def begun_by_vllm(model: str, row: Row) -> str:
    told = to_tokens(row, source=model, revision=None, template="chat", positions=64)
    answered = {"generated_text": "", "num_input_tokens": 9, "num_generated_tokens": 1, "time_taken_llm": 0.1}
    return str(completion(row | {"key": "a"} | told | answered, positions=64)["completion"])


def test_marks_of_thinking_that_are_special_tokens_stand_in_the_answer_and_no_other_special_token_does(
    folder: Callable[[object], str],
) -> None:
    for marks, shown in ((["[THINK]", "[/THINK]"], True), (["<|eot|>", "<|pad|>"], False)):
        made = folder(TURNS + ANSWER)
        tokenizer = Tokenizer.from_file(f"{made}/tokenizer.json")
        tokenizer.add_special_tokens(marks)
        tokenizer.save(f"{made}/tokenizer.json")
        engine = TransformersEngine(made, "float32", threads=1)
        tokens = tokenizer.encode(f"{marks[0]}Hm.{marks[1]}Yes , so .</s>").ids
        row = engine.completion({"request_id": "a", "json_schema": None}, 1, tokens, tokens[-1:], 0.1)
        assert row["completion"] == (f"{marks[0]}Hm.{marks[1]}Yes , so ." if shown else "Hm.Yes , so .")
        asked = dict.fromkeys(REQUESTS.schema.names) | {"user": "Hi", "max_tokens": 2}
        told = to_tokens(asked, source=made, revision=None, template="chat", positions=64)["sampling_params"]
        assert told.get("skip_special_tokens", True) != shown


def test_a_request_that_its_template_refuses_is_an_error_row_and_costs_no_other(
    folder: Callable[[object], str],
) -> None:
    tiny = folder(chosen("['secret']"))
    usual = {"max_tokens": 2, "temperature": 1.0, "top_p": 1.0, "seed": 1}
    rows: list[Row] = [{"request_id": user, "user": user} | usual for user in ("one", "secret", "two")]
    said: Any = TransformersEngine(tiny, "float32", threads=1)(make(REQUESTS, rows)).to_pylist()
    assert [row["request_id"] for row in said] == ["one", "secret", "two"]
    assert [row["error"] for row in said] == [None, "refused by the chat template (TemplateError)", None]


def test_a_run_is_checked_with_each_kind_of_request_that_it_sends(
    tmp_path: Path, folder: Callable[[object], str]
) -> None:
    config = load(str(write_config(tmp_path)))
    answers_only = folder("<user>{{ messages[0].content }}</s>" + ANSWER)
    silent = folder(SYSTEMS["no empty turn"])

    def checked(responder: dict[str, object], judge: dict[str, object], model: str) -> None:
        engine = Transformers(kind="transformers", model=model)
        first = config.responders[0].model_copy(update=({"engine": engine} | responder) if responder else {})
        other = config.judges[0].model_copy(update=({"engine": engine} | judge) if judge else {})
        preflight.check(config.model_copy(update={"responders": (first,), "judges": (other,)}))

    conversations = next(name for name, classifier in CLASSIFIERS.items() if classifier.message is None)
    checked({"system": "Be brief."}, {"format": "rubric"}, folder(SYSTEMS["raises"]))
    checked({"system": None}, {"format": "rubric"}, answers_only)
    with pytest.raises(ModelError, match="leaves out the text of: assistant"):
        checked({}, {"format": conversations}, answers_only)
    checked({"system": None}, {"format": conversations}, silent)
    with pytest.raises(ModelError, match=r"\(empty system, user\): TemplateError: empty"):
        checked({"system": ""}, {}, silent)


def test_what_is_checked_is_what_is_asked(folder: Callable[[object], str]) -> None:
    # An example stands for texts of all kinds: what is no text for the eye is sent as it is.
    assert [example(text, False)["system"] for text in (None, "", " \n")] == [None, "", " \n"]
    form = load_form(folder(SYSTEMS["a default where there is none or it is empty"]))
    with pytest.raises(ModelError, match="a text of its own in place of an empty `system`"):
        check_template("m", form, [example("", False)])

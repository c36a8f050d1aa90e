"""Answer requests with vLLM through `ray.data.llm`, on GPUs or on CPUs.

In: a Ray Dataset of where blocks of requests stand. Out: a Ray Dataset of what their commits say. Grain: one row per block.
The engine starts once a replica and is fed several blocks at a time; a request that it refuses becomes an error row. One that is
too long for it is counted before, and passes it by.
"""

from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Dataset
from ray.data.llm import Processor, build_processor, vLLMEngineProcessorConfig

from infra import storage
from tasks.engines import Answer
from tasks.engines.actors import RESTARTS
from tasks.engines.blocks import commit, completions, read
from tasks.engines.chat import confidence, too_long
from tasks.engines.grammar import grammar
from tasks.engines.templates import Form, begun, load_form, prompt_tokens
from tasks.engines.vllm import Vllm, lora_rank
from tasks.tables import COMPLETIONS, REQUESTS


def answering(engine: Vllm, store: str) -> Answer:
    """The function from blocks of requests to blocks of completions that are committed to `store`."""
    source, revision, template = engine.source(), engine.revision, engine.template
    load_form(source, revision, template)  # what is wrong with it is told once, before vLLM starts
    processor = build_processor(
        processor_config(engine),
        preprocess=partial(
            to_tokens, source=source, revision=revision, template=template, positions=engine.max_model_len
        ),
        postprocess=partial(completion, positions=engine.max_model_len),
        preprocess_map_kwargs={"num_cpus": 0},
        postprocess_map_kwargs={"num_cpus": 0.1},
    )

    limit_restarts(processor)

    def answer(places: Dataset) -> Dataset:
        # A share of a CPU that the next step does not have keeps Ray from fusing the two: fused, several blocks would
        # be bundled to fill a batch, and be committed only together.
        named = places.map_batches(
            read_requests, fn_kwargs={"lora": engine.lora}, batch_size=None, batch_format="pyarrow", num_cpus=0.05
        )
        return processor(named).map_batches(
            commit_answered, fn_kwargs={"store": store}, batch_size=None, batch_format="pyarrow", num_cpus=0.1
        )

    return answer


def limit_restarts(processor: Processor) -> None:
    """Have Ray give up an engine that dies again and again; by itself it would start it for ever."""
    options = processor.get_stage_by_name("vLLMEngineStage").map_batches_kwargs
    scheduling = options.get("ray_remote_args_fn", dict)
    options["ray_remote_args_fn"] = lambda: scheduling() | RESTARTS


def processor_config(engine: Vllm) -> vLLMEngineProcessorConfig:
    """What `ray.data.llm` is told; tokens are made before and read by vLLM itself, so that only the engine holds CPUs."""
    return vLLMEngineProcessorConfig(
        model_source=engine.source(),
        engine_kwargs=engine_arguments(engine),
        batch_size=engine.block_rows,
        max_concurrent_batches=engine.concurrent_blocks,
        concurrency=(engine.replicas, engine.replicas),
        placement_group_config={"bundle_per_worker": {"CPU": 1} if engine.device == "cpu" else {"CPU": 1, "GPU": 1}},
        should_continue_on_error=True,
        log_engine_metrics=False,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
    )


def engine_arguments(engine: Vllm) -> dict[str, Any]:
    """Give the arguments of vLLM's engine; of a model's generation_config.json, which may say how to sample, only end tokens count.

    On CPUs compiling costs more than it saves on runs of minutes, and a prompt must be read in one piece: vLLM 0.29 dies
    when it reads part of a prompt whose request has a seed ("CPU Generator does not use offset").
    """
    arguments: dict[str, Any] = {
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "tensor_parallel_size": engine.tensor_parallel,
        "pipeline_parallel_size": engine.pipeline_parallel,
        "enable_prefix_caching": engine.prefix_caching,
        "load_format": engine.load_format,
        "generation_config": "vllm",
        "enable_lora": engine.lora is not None,
    }
    if engine.lora:
        arguments["max_lora_rank"] = lora_rank(engine.lora)
    if engine.device == "cpu":
        whole = max(engine.max_model_len, 2048)
        arguments |= {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": whole}
    if engine.revision:
        arguments["revision"] = engine.revision
    return arguments


def read_requests(place: pa.Table, lora: str | None) -> pa.Table:
    """Requests under `key`, since `ray.data.llm` has a `request_id` of its own, with the adapter that answers them."""
    named = read(place).rename_columns({"request_id": "key"})
    return named if lora is None else named.append_column("model", pa.array([storage.resolve(lora)] * len(named)))


def to_tokens(row: dict[str, Any], source: str, revision: str | None, template: str, positions: int) -> dict[str, Any]:
    """A request as vLLM takes it: in the tokens that every local engine makes of it, to which vLLM adds none.

    The stages of `ray.data.llm` pass by one that has an error: that its template does not take, or that is too long.
    """
    form = load_form(source, revision, template)
    tokens, fault = prompt_tokens(form, row)
    error = fault or too_long(len(tokens), row["max_tokens"], positions)
    # In each row: where one lacks it, Arrow makes it null, which those stages take for an error.
    told = {"counted_tokens": len(tokens), "begun": begun(form, row), "__inference_error__": error or ""}
    return {"tokenized_prompt": tokens, "sampling_params": sampling(row) | shown(form)} | told


def shown(form: Form) -> dict[str, bool]:
    """What has vLLM write special tokens into its answers, where these tell thinking from what is answered."""
    return {"skip_special_tokens": False} if form.hides_marks else {}


def sampling(row: dict[str, Any]) -> dict[str, Any]:
    """Give vLLM's sampling parameters of one request; all requests of a job have a schema, or none has."""
    parameters = {name: row[name] for name in ("temperature", "top_p", "max_tokens", "seed")}
    if row["json_schema"]:
        parameters["structured_outputs"] = {"grammar": grammar(row["json_schema"])}
    return parameters | ({"logprobs": 0} if row["decision"] else {})


def completion(row: dict[str, Any], positions: int) -> dict[str, Any]:
    """One row of `tables.COMPLETIONS`; an answer that fills its tokens is taken for one that was cut off.

    vLLM cuts an answer for which no room was left, without a word: should it count more tokens than we did, that is told.
    """
    if error := too_long(row["num_input_tokens"], row["max_tokens"], positions):
        long = {"request_id": row["key"], "error": error}
        long |= {"input_tokens": row["num_input_tokens"], "output_tokens": row["num_generated_tokens"]}
        return dict.fromkeys(COMPLETIONS.schema.names) | long
    return {
        "request_id": row["key"],
        "completion": row["begun"] + row["generated_text"],
        "finish_reason": "length" if row["num_generated_tokens"] >= row["max_tokens"] else "stop",
        "input_tokens": row["num_input_tokens"],
        "output_tokens": row["num_generated_tokens"],
        "seconds": row["time_taken_llm"],
        "confidence": confidence(row["decision"], token_logprobs(row)) if row["decision"] else None,
        "error": None,
    }


def token_logprobs(row: dict[str, Any]) -> list[tuple[str, float]]:
    """The tokens of an answer with their log-probabilities; with `logprobs=0` vLLM gives those of the drawn ones alone."""
    drawn = zip(row["generated_tokens"], row["logprobs"] or (), strict=False)
    found = [known[token] for token, known in drawn]
    return [(entry["decoded_token"] or "", entry["logprob"]) for entry in found]


def commit_answered(answered: pa.Table, store: str) -> pa.Table:
    """Commit completions, with the requests that are too long or that the engine refused as error rows."""
    rows = answered.to_pylist()
    for row in rows:
        if error := row.get("__inference_error__"):
            failed = {"request_id": row["key"], "error": error, "input_tokens": row.get("counted_tokens")}
            row.update(dict.fromkeys(COMPLETIONS.schema.names) | failed)
    return commit(completions(rows), store, pa.Table.from_pylist(rows, schema=REQUESTS.schema))

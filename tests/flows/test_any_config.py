"""Whatever configuration `load` and `check` accept, a run of it is done to its end: nothing is found out after it was paid."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from expectations.gate import examine
from flows.pipeline import build
from flows.preferences_to_review import preferences_to_review
from flows.running import clusters
from flows.running.perform import perform_in_plan
from tasks.config import Budget, Config, EngineErrors, FileSource, Judge, LabelStudio, Pairs, Responder, Review, load
from tasks.engines.scripted import Scripted, answering
from tasks.engines.word_counts import WordCounts
from tasks.errors import SafePairsError
from tasks.preflight import check
from tasks.release.candidate import Candidate, release_fingerprint, write_candidate
from tests.examples import examples
from tests.tasks.test_config import written
from tests.tasks.work.here import fill_here

PROMPTS = "prompt\nHow do I plant tulips?\nWie pflanze ich Tulpen im Garten?\nhow do I plant TULIPS\n"
MULTIPLIED = {"samples", "alternatives", "label_votes", "preference_votes", "attempts"}
"""Each of these has a whole run asked so many times as much: here it is few times."""
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=9)
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["a", "null", "1e5", "2026-11-30", "train", "A.b_c-d", "x" * 64])
    | st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,9}\Z"),
    "rubrics": st.sampled_from([["standard"], ["checklist"], ["checklist", "standard"]]),
    "languages": st.lists(st.sampled_from(["en", "de", "sw"]), max_size=2),
    "system": TEXTS,
    "temperature": st.just(0) | st.floats(0.01, 2),
    "max_chars": st.sampled_from([60, 1_000_000_000]),
    "embedder": st.builds(lambda rows: {"kind": "word-counts", "block_rows": rows}, st.sampled_from([1, 1_000_000])),
    "engine": st.deferred(lambda: of_section(Scripted)),
    "sources": st.deferred(
        lambda: st.lists(of_section(FileSource), min_size=1, max_size=3, unique_by=lambda one: str(one["name"]))
    ),
    "cluster": st.just({"kind": "local", "cpus": 1_000, "jobs": 1}),
}
"""What stands in a file beside numbers and choices; what is not here is left out, so that no server and no model is needed."""


def of_section(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables of a section: what is required, and any of the rest."""
    fields = {key: of_key(key, field.annotation, field.metadata) for key, field in model.model_fields.items()}
    known = {key: values for key, values in fields.items() if values is not None}
    required = {key for key in known if model.model_fields[key].is_required()}
    optional = {key: values for key, values in known.items() if key not in required}
    return st.fixed_dictionaries({key: known[key] for key in sorted(required)}, optional=optional)


def of_key(key: str, kind: Any, bounds: list[Any]) -> st.SearchStrategy[Any] | None:
    """Values of a key; None where it is left out."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if key in KNOWN:
        return KNOWN[key]
    if get_origin(kind) is Literal:
        return st.sampled_from(parts)
    if get_origin(kind) is tuple:
        alike = (lambda one: str(one.get("name")).lower()) if "name" in parts[0].model_fields else None
        return st.lists(of_section(parts[0]), min_size=least(bounds), max_size=3, unique_by=alike)
    alone = parts[0] if len(parts) == 1 else kind
    if alone in (int, float):
        return number(key, alone, bounds)
    is_section = isinstance(alone, type) and issubclass(alone, BaseModel) and alone is not LabelStudio
    return of_section(alone) if is_section else None


def least(bounds: list[Any]) -> int:
    """How many members a list has at least."""
    return next((bound.min_length for bound in bounds if isinstance(bound, MinLen)), 0)


def number(key: str, kind: type, bounds: list[Any]) -> st.SearchStrategy[Any]:
    """Numbers within the bounds, and often at them."""
    low: Any = next(bound for bound in bounds if isinstance(bound, (Ge, Gt)))
    high: Any = next(bound for bound in bounds if isinstance(bound, (Le, Lt)))
    first: Any = low.ge if isinstance(low, Ge) else low.gt
    last: Any = 3 if key in MULTIPLIED else high.le if isinstance(high, Le) else high.lt
    if kind is int:
        return st.sampled_from([first, last]) | st.integers(first, last)
    return st.floats(first, last, exclude_min=isinstance(low, Gt), exclude_max=isinstance(high, Lt))


def accepted(values: dict[str, Any], folder: Path) -> Config | None:
    """The configuration of these values, if it is taken; a refusal is one line."""
    (folder / "prompts.csv").write_text(PROMPTS)
    config_file = folder / "any.toml"
    values["storage"] = str(folder / "storage")
    file = str(folder / "prompts.csv")
    values["prompts"] |= {} if "sources" in values["prompts"] else {"source": file}
    for source in values["prompts"].get("sources", []):
        source["file"] = file
    config_file.write_text("".join(f"{key} = {written(value)}\n" for key, value in values.items()))
    try:
        config = load(str(config_file))
        check(config)
    except SafePairsError as error:
        assert "\n" not in str(error)  # noqa: PT017 (what is raised is the answer)
        return None
    return config


def run(config: Config) -> Candidate:
    """Have all stages done, and a candidate written, in this process."""
    root = config.storage
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "time", SimpleNamespace(sleep=lambda seconds: None))
        patch.setattr(clusters, "place", lambda cluster, job, root, tell: fill_here(job, tell))
        patch.setattr(clusters, "show_progress", lambda job: lambda progress: None)
        with clusters.job_runner(config.model_copy(update={"budget": Budget()}), root, lambda: None) as run_job:
            stages = build(config, root, run_job, perform_in_plan)
        perform_in_plan(preferences_to_review, (config, stages, root, f"{root}/tables"))
        return write_candidate(config, stages, "2026.01.01", release_fingerprint(config, stages), root)


def extreme(model: type[BaseModel], ends: int) -> dict[str, Any]:
    """The numbers of a section at their lower (0) or upper (1) bounds, but for what multiplies a run or ends it at once."""
    found: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        bounds: list[Any] = [bound for bound in field.metadata if isinstance(bound, (Ge, Le))]
        if len(bounds) == 2 and key not in MULTIPLIED | {"max_chars"}:
            found[key] = (bounds[0].ge, bounds[1].le)[ends]
    return found


def at_bounds(ends: int) -> dict[str, Any]:
    """A whole configuration with its numbers at their lower or their upper bounds."""
    engine = {"kind": "scripted", **extreme(Scripted, ends)}
    embedder = {"kind": "word-counts", **extreme(WordCounts, ends)}
    one = {"name": "a", "engine": engine}
    return {
        "name": "a",
        **extreme(Config, ends),
        "prompts": {},
        "diversity": {"embedder": embedder},
        "responders": [one | extreme(Responder, ends) | {"samples": 2}],
        "judges": [{"name": name, "engine": engine} | extreme(Judge, ends) for name in ("a", "b")],
        "pairs": extreme(Pairs, ends) | {"mixed": 1},
        "review": extreme(Review, ends),
        "gate": {"engine_errors": extreme(EngineErrors, ends)},
    }


def test_numbers_at_their_upper_bounds_are_run_to_the_end_and_judged(tmp_path: Path) -> None:
    config = accepted(at_bounds(1), tmp_path)
    assert config
    candidate = run(config)
    outcome = examine(candidate.uri, candidate.files, config.gate)
    assert not [result for result in outcome.results if result.outcome == "crashed"]


def test_a_seed_below_nothing_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    assert accepted(at_bounds(0), tmp_path)
    assert not accepted(at_bounds(0) | {"seed": -1}, tmp_path)


@given(of_section(Config))
@examples(2)
def test_what_is_accepted_is_run_to_its_end(values: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        if config := accepted(values, Path(folder)):
            run(config)

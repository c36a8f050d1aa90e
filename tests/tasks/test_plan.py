from pathlib import Path

import pytest

from infra import storage
from tasks.config import Config, load
from tasks.engines.scripted import Scripted
from tasks.plan import Planned, ask_once, at_most, expect
from tasks.tables import Cost, Ref, Stage
from tasks.work.answering import Answering
from tests.conftest import write_config

NOWHERE = Ref("", 0, "")
PROMPTS = Stage("sources_to_prompts", "row", 9, 9, NOWHERE, {"prompts": Ref("", 9, "")})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(str(write_config(tmp_path)))


def stage(name: str, **costs: Cost) -> Stage:
    return Stage(name, "row", 0, 0, NOWHERE, {}, {work.replace("_", " "): cost for work, cost in costs.items()})


def job(name: str, store: str) -> Answering:
    return Answering(id=name, name=name, model=Scripted(kind="scripted"), pending=NOWHERE, store=store)


def test_work_that_the_plan_never_heard_of_is_in_it_with_what_its_store_remembers(
    config: Config, tmp_path: Path
) -> None:
    told = '{"rows": 2, "cost": {"input_tokens": 20, "output_tokens": 8, "start_seconds": 1, "seconds": 4}}'
    storage.write_bytes(f"{tmp_path}/store/history/translations-by-x.json", told.encode())
    new = stage("answers_to_translations", translations_by_x=Cost(asked=3, found=1))
    (work,) = expect(config, [PROMPTS, new], [job("translations by x", f"{tmp_path}/store")], str(tmp_path))
    assert work == Planned("translations by x", 4, 1, True, 30, 12, 7.0, 0.0)


def test_a_plan_expects_tokens_that_no_endpoint_told_as_an_estimate(config: Config, tmp_path: Path) -> None:
    told = '{"rows": 2, "cost": {"input_tokens": 20, "estimated_output_tokens": 8, "start_seconds": 1, "seconds": 4}}'
    storage.write_bytes(f"{tmp_path}/store/history/translations-by-x.json", told.encode())
    new = stage("answers_to_translations", translations_by_x=Cost(asked=3, found=1))
    (work,) = expect(config, [PROMPTS, new], [job("translations by x", f"{tmp_path}/store")], str(tmp_path))
    assert work == Planned("translations by x", 4, 1, True, 30, 12, 7.0, 0.0, estimated=True)


@pytest.mark.parametrize(
    "told", ['{"rows": 2, "cost": {"input_tokens": HUGE}}', '{"rows": HUGE, "cost": {"seconds": 4.5}}']
)
def test_a_history_with_numbers_that_nothing_took_tells_nothing(config: Config, tmp_path: Path, told: str) -> None:
    content = told.replace("HUGE", str(10**400)).encode()
    storage.write_bytes(f"{tmp_path}/store/history/translations-by-x.json", content)
    new = stage("answers_to_translations", translations_by_x=Cost(asked=3, found=1))
    (work,) = expect(config, [PROMPTS, new], [job("translations by x", f"{tmp_path}/store")], str(tmp_path))
    assert work == Planned("translations by x", 4, 1, True)


def test_what_comes_after_unanswered_work_is_expected_and_what_comes_after_answers_is_known(
    config: Config, tmp_path: Path
) -> None:
    after = stage("responses_to_labels", labels_by_judge=Cost(found=5))
    answered = stage("prompts_to_responses", responses=Cost(found=8))
    known = expect(config, [PROMPTS, answered, after], [], str(tmp_path))
    assert [(work.wanted, work.to_ask, work.exact, work.seconds) for work in known] == [
        (8, 0, True, 0),
        (5, 0, True, 0),
    ]
    asking = stage("prompts_to_responses", responses=Cost(asked=1, found=7))
    expected = expect(config, [PROMPTS, asking, after], [job("responses", "")], str(tmp_path))
    assert [(work.wanted, work.answered, work.exact) for work in expected] == [(8, 7, True), (9 * 2 * 2 * 3, 5, False)]


def test_work_that_asks_for_nothing_is_not_in_the_plan(config: Config, tmp_path: Path) -> None:
    assert expect(config, [PROMPTS, stage("prompts_to_responses", embeddings=Cost(seconds=1))], [], str(tmp_path)) == []


def test_a_plan_leaves_out_further_attempts_and_nothing_else(config: Config) -> None:
    once = ask_once(config)
    assert [judge.attempts for judge in once.judges] == [1]
    again = tuple(
        judge.model_copy(update={"attempts": known.attempts})
        for judge, known in zip(once.judges, config.judges, strict=True)
    )
    assert once.model_copy(update={"judges": again}) == config


def test_what_is_asked_at_most_is_counted_of_each_responder_by_its_own_samples(config: Config) -> None:
    few, many = (
        responder.model_copy(update={"samples": samples})
        for responder, samples in zip(config.responders, (1, 3), strict=True)
    )
    diverse = config.diversity.model_copy(update={"alternatives": 2})
    requests, pairs = at_most(config.model_copy(update={"responders": (few, many), "diversity": diverse}), 10)
    assert pairs == 10 * (1 + 3)
    assert requests == {
        "responses by scripted-a": 20,
        "responses by scripted-b": 40,
        "labels by judge": 10 * (2 + 3) * 3,
        "preferences by judge": 10 * (1 + 3) * 6,
    }

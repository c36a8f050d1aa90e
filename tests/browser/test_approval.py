import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from expectations import gate
from expectations.outcome import GateOutcome, RuleResult
from flows.candidate_to_release import candidate_to_release
from flows.pipeline import build, main
from flows.preferences_to_candidate import preferences_to_candidate
from flows.running.approval import ask_for_approval, show
from flows.running.clusters import alone
from flows.running.perform import perform_in_plan
from infra import storage as stores
from tasks.config import Config, Gate, load
from tasks.release.verify import faults
from tasks.tables import Stage
from tasks.warehouse import Tables
from tests.browser.runner import deploy, execute, start, wait_until
from tests.conftest import write_config
from tests.expectations.small import Engine, runner
from tests.served import Site
from tests.waiting import until

TULIPS = [f"How do I plant {number} tulips?" for number in range(12)]
MADE: dict[str, list[Stage]] = {}
"""The stages of each configuration, made before its runs start."""


@flow(persist_result=False)
def approves(config: str) -> None:
    """The end of the pipeline: a candidate of what is made already, its approval, its release."""
    settings, stages = load(config), MADE[config]
    root = stores.resolve(settings.storage)
    with alone(root):
        examined = preferences_to_candidate(settings, stages, root)
        decision = ask_for_approval(settings, examined, root)
        candidate_to_release(settings, examined, decision, stages, root)


WARNED = RuleResult("pairs", "split_rows", "warning", "violated", 3, "judges disagree")


@pytest.fixture(scope="module", autouse=True)
def judged() -> Iterator[list[str]]:
    """A gate that passes all with one warning, and a card without charts, as both take seconds: the candidates judged."""
    uris: list[str] = []

    def examine(uri: str, files: Sequence[Mapping[str, Any]], asked: Gate) -> GateOutcome:
        outcome = GateOutcome(True, (WARNED,))
        stores.write_bytes(stores.join(uri, "gate/verdict.json"), json.dumps(dataclasses.asdict(outcome)).encode())
        uris.append(uri)
        return outcome

    def write_card(config: Config, version: str, tables: Tables, uri: str) -> None:
        stores.write_bytes(stores.join(uri, "README.md"), version.encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expectations.gate.examine", examine)
        patch.setattr("tasks.card.card.write_card", write_card)
        yield uris


@pytest.fixture(scope="module")
def approving(own_runs: Site) -> Site:
    deploy(approves)
    return own_runs


MakeStages = Callable[[list[str]], list[Stage]]


@pytest.fixture(scope="module")
def make_stages(tmp_path_factory: pytest.TempPathFactory) -> MakeStages:
    """Makes what a run of these prompts would publish, without a cluster."""
    made: dict[str, list[Stage]] = {}

    def make(prompts: list[str]) -> list[Stage]:
        key = json.dumps(prompts)
        if key not in made:
            config = load(str(write_config(tmp_path_factory.mktemp("made"), prompts)))
            made[key] = build(config, config.storage, runner(lambda _: Engine()), perform_in_plan)
        return made[key]

    return make


@pytest.fixture(scope="module")
def stages(make_stages: MakeStages) -> list[Stage]:
    return make_stages(TULIPS)


def write_approval(folder: Path, stages: list[Stage], name: str = "first", **values: object) -> Path:
    """A configuration of this name that asks for approval, with the storage of all in `folder`; its runs have these stages."""
    own = folder / name
    own.mkdir(exist_ok=True)
    lines = [f"{key} = {value}\n" for key, value in values.items()]
    config = write_config(own, TULIPS, storage=folder / "storage")
    config.write_text(f"{config.read_text()}\n[approval]\n{''.join(lines)}")
    MADE[str(config)] = stages
    return config


def begin(site: Site, config: Path) -> dict[str, Any]:
    """A run that is suspended, since it asks."""
    run = start(site, approves, config)
    assert run["state_name"] == "Suspended"
    return run


def answer(site: Site, run: dict[str, Any], **answers: str) -> dict[str, Any]:
    """Give the run an answer that the server takes, and let it go on."""
    assert site.resume(run, **answers)["status"] == "ACCEPT"
    return execute(site, approves, run)


def manifest(folder: Path) -> dict[str, Any]:
    releases = folder / "storage/releases"
    version = json.loads((releases / "latest.json").read_text())["version"]
    return dict(json.loads((releases / version / "manifest.json").read_text()))


def manifests(folder: Path) -> list[Path]:
    return list((folder / "storage/releases").glob("*/manifest.json"))


def published(folder: Path) -> bool:
    """Whether anything is published, or pointed to."""
    return bool(manifests(folder) or list(folder.rglob("latest.json")))


def page(site: Site, run: dict[str, Any]) -> str:
    """The artifact that the person is shown."""
    (data,) = [artifact["data"] for artifact in site.artifacts(run) if artifact["key"] == "approval"]
    return str(data)


def test_an_approved_release_is_published_with_name_and_time_and_asked_for_once(
    approving: Site, stages: list[Stage], tmp_path: Path, judged: list[str]
) -> None:
    config = write_approval(tmp_path, stages)
    run = begin(approving, config)
    assert not published(tmp_path)
    shown = page(approving, run)
    assert "| prompts | train |" in shown
    assert "no release before" in shown
    assert "1 of 1 rules broken" in shown
    assert "- `pairs.split_rows`: 3 rows. judges disagree" in shown
    assert "tulips" not in shown

    before = datetime.now(UTC).replace(microsecond=0)
    run = answer(approving, run, decision="approve", name="Ada Lovelace", reason="read twenty pairs")
    assert run["state_name"] == "Completed"
    approval = manifest(tmp_path)["approval"]
    assert before <= datetime.fromisoformat(approval.pop("time")) <= datetime.now(UTC)
    assert approval == {"decision": "approve", "name": "Ada Lovelace", "reason": "read twenty pairs"}

    assert len([uri for uri in judged if uri.startswith(str(tmp_path))]) == 1

    assert start(approving, approves, config)["state_name"] == "Completed"
    assert len(manifests(tmp_path)) == 1


INCOMPLETE: tuple[dict[str, str], ...] = (
    {"decision": "approve", "name": " "},
    {"decision": "approve"},
    {"decision": "reject", "name": "Ada"},
    {"decision": "reject", "name": "Ada", "reason": " "},
    {"decision": "perhaps", "name": "Ada"},
    {},
)


def test_a_rejected_release_is_not_published_and_a_retry_asks_again(
    approving: Site, stages: list[Stage], tmp_path: Path
) -> None:
    run = begin(approving, write_approval(tmp_path, stages))
    assert [approving.resume(run, **incomplete)["status"] for incomplete in INCOMPLETE] == ["REJECT"] * len(INCOMPLETE)
    run = answer(approving, run, decision="reject", name="Ada", reason="split rows\nare too many")
    assert run["state_name"] == "Failed"
    said = " was rejected by Ada: split rows are too many; nothing is published, the candidate is kept in "
    assert said in run["state"]["message"]
    assert "\n" not in run["state"]["message"]
    assert not published(tmp_path)
    assert list((tmp_path / "storage/candidates").glob("*/gate/verdict.json"))

    approving.retry(run)
    run = execute(approving, approves, run)
    assert run["state_name"] == "Suspended"
    assert answer(approving, run, decision="approve", name="Ada")["state_name"] == "Completed"
    assert manifest(tmp_path)["approval"]["decision"] == "approve"


def test_a_release_that_nobody_approves_in_time_is_not_published_until_a_retry_asks_again(
    approving: Site, stages: list[Stage], tmp_path: Path
) -> None:
    run = start(approving, approves, write_approval(tmp_path, stages, timeout_hours=1 / 3600))
    run = wait_until(approving, run, "FAILED")
    assert run["state"]["message"] == "The flow was paused and never resumed."
    waiting = "waiting for approval of release "
    until(lambda: any(log["message"].startswith(waiting) for log in approving.logs(run)), 60, "its log has come")
    assert not published(tmp_path)
    assert approving.resume(run, decision="approve", name="Ada")["status"] == "ABORT"
    assert not published(tmp_path)

    write_approval(tmp_path, stages)
    approving.retry(run)
    assert execute(approving, approves, run)["state_name"] == "Suspended"


def test_what_was_published_meanwhile_is_asked_about_anew_and_the_pointer_never_goes_back(
    approving: Site, stages: list[Stage], make_stages: MakeStages, tmp_path: Path
) -> None:
    first = begin(approving, write_approval(tmp_path, stages))
    more = make_stages([*TULIPS, "Why do tulips close at night?"])
    second = begin(approving, write_approval(tmp_path, more, "second"))
    assert answer(approving, second, decision="approve", name="Ada")["state_name"] == "Completed"
    published = manifest(tmp_path)["version"]

    first = answer(approving, first, decision="approve", name="Ada")
    assert first["state_name"] == "Suspended"
    assert manifest(tmp_path)["version"] == published
    assert len(manifests(tmp_path)) == 1


def test_a_candidate_that_another_run_wrote_over_is_judged_again_before_it_is_published(
    approving: Site, stages: list[Stage], tmp_path: Path, judged: list[str]
) -> None:
    first = begin(approving, write_approval(tmp_path, stages))
    (candidate,) = (tmp_path / "storage/candidates").iterdir()
    taken = candidate / "annotations/stages.parquet"
    before = taken.read_bytes()
    slower = [dataclasses.replace(stage, seconds=stage.seconds + 1) for stage in stages]
    second = begin(approving, write_approval(tmp_path, slower, "second"))
    assert taken.read_bytes() != before
    assert judged.count(str(candidate)) == 2

    assert answer(approving, first, decision="approve", name="Ada")["state_name"] == "Completed"
    assert judged.count(str(candidate)) == 3
    found = manifest(tmp_path)
    assert found["approval"]["name"] == "Ada"
    assert not list(faults(str(tmp_path / "storage")))
    assert answer(approving, second, decision="reject", name="Ada", reason="asked twice")["state_name"] == "Completed"
    assert manifest(tmp_path) == found


def test_what_was_changed_while_it_waited_is_judged_again_and_asked_about_again_if_that_says_something_else(
    approving: Site, stages: list[Stage], tmp_path: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = gate.examine

    def examine_and_say(uri: str, *arguments: Any) -> GateOutcome:
        outcome = examine(uri, *arguments)
        stores.write_bytes(stores.join(uri, "gate/said.txt"), b"once more")
        return outcome

    run = begin(approving, write_approval(tmp_path, stages))
    (candidate,) = (tmp_path / "storage/candidates").iterdir()
    (candidate / "gate/verdict.json").write_text("{}")
    (candidate / "gate/page.html").write_text("<script>")
    with monkeypatch.context() as patched:
        patched.setattr(gate, "examine", examine_and_say)
        run = answer(approving, run, decision="approve", name="Ada")
    assert run["state_name"] == "Suspended"
    assert not published(tmp_path)
    (candidate / "README.md").write_text("<script>")
    with monkeypatch.context() as patched:
        patched.setattr(gate, "examine", examine_and_say)
        assert answer(approving, run, decision="approve", name="Grace")["state_name"] == "Completed"
    assert judged.count(str(candidate)) == 3
    assert manifest(tmp_path)["approval"]["name"] == "Grace"
    assert not list(faults(str(tmp_path / "storage")))
    released = [file.read_bytes() for file in (tmp_path / "storage/releases").rglob("*") if file.is_file()]
    assert b"once more" in released
    assert not any(b"<script>" in content for content in released)


def test_a_sample_stays_inside_its_block_of_code() -> None:
    attack = "one\n```\n<script>alert(1)</script>\u2028\r\n~~~\n# \u202etwo"
    assert show({"prompt": attack, "better": 1}).splitlines() == [
        "```text",
        "prompt: one ``` <script>alert(1)</script> ~~~ # two",
        "better: 1",
        "```",
    ]
    for line in show({"prompt": "``` " * 1_000}).splitlines()[2:-1]:
        assert line.startswith(" " * 8)
    assert len(show({"prompt": "x" * 10_000})) < 1_000


def test_a_run_from_the_command_line_says_how_to_be_asked_and_keeps_the_candidate(
    own_runs: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_approval(tmp_path, [])
    # So that nothing is asked.
    build(load(str(config)), str(tmp_path / "storage"), runner(lambda _: Engine()), perform_in_plan)
    monkeypatch.setattr(sys, "argv", ["flows.pipeline", str(config)])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 3
    said = capsys.readouterr()
    (error,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert "needs approval: nothing is published" in error
    assert "make serve" in error
    assert "Traceback" not in said.out + said.err
    assert not published(tmp_path)
    assert list((tmp_path / "storage/candidates").glob("*/gate/verdict.json"))

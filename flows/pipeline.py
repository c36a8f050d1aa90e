"""The whole pipeline on one page: prompts in, a gated release out.

    sources -> prompts -> responses -> labels -> pairs -> preferences -> [gate] -> candidate -> [approval] -> release
                                          ^                 ^    |
                                          +---- people -----+    +-> review -> [people]

Run as `python -m flows.pipeline CONFIG [--prompts FILE] [--storage FOLDER] [--plan]`.
"""

import argparse
import logging
import sys

from prefect import flow

from flows.candidate_to_release import candidate_to_release
from flows.labels_to_pairs import labels_to_pairs
from flows.pairs_to_preferences import pairs_to_preferences
from flows.people_to_verdicts import people_to_verdicts
from flows.preferences_to_candidate import preferences_to_candidate
from flows.preferences_to_review import preferences_to_review
from flows.prompts_to_responses import prompts_to_responses
from flows.responses_to_labels import responses_to_labels
from flows.running.allowed import allow, check_allowed, given
from flows.running.approval import ask_for_approval
from flows.running.clusters import alone, job_runner
from flows.running.credentials import load_credentials
from flows.running.perform import Perform, perform_in_plan, perform_in_run
from flows.running.reports import print_plan, print_summary, set_up_logging
from flows.running.review import pull
from flows.running.server import lock_temporary_server, start_server
from flows.running.stopping import ends_at_once
from flows.running.waiting import wait_for_people
from flows.sources_to_prompts import sources_to_prompts
from infra import storage as stores
from infra.leftovers import own
from infra.ray_cluster import ray_cluster
from tasks import config as configs
from tasks.config import Config
from tasks.errors import SafePairsError
from tasks.plan import Planned, ask_once, expect
from tasks.preflight import check
from tasks.release.release import Release
from tasks.tables import Stage
from tasks.work.job import Job, RunJob
from tasks.work.store import compact

set_up_logging()
lock_temporary_server()


def build(settings: Config, root: str, run: RunJob, perform: Perform) -> list[Stage]:
    """Wire the stages up to preferences; each takes from earlier ones the tables that it names."""
    folder = stores.join(root, "tables")
    (prompted,) = perform(sources_to_prompts, (settings, folder))
    answered = prompts_to_responses(settings, prompted.tables["prompts"], folder, run, perform)
    responses = answered.tables["responses"]
    (reviewed,) = perform(people_to_verdicts, ("labels", responses, root, folder))
    (labelled,) = perform(responses_to_labels, (settings, responses, list(reviewed.tables.values()), folder, run))
    (paired,) = perform(labels_to_pairs, (settings, responses, labelled.tables["labels"], folder))
    pairs = paired.tables["pairs"]
    (chosen,) = perform(people_to_verdicts, ("preferences", pairs, root, folder))
    (preferred,) = perform(pairs_to_preferences, (settings, pairs, list(chosen.tables.values()), folder, run))
    return [prompted, answered, reviewed, labelled, paired, chosen, preferred]


def plan(settings: Config, root: str) -> list[Planned]:
    """All model work of a run, in its order: its stages are walked with a runner that asks nothing.

    Raises:
        ModelError: a model is missing.
        SourceError: the prompts cannot be used.
        StorageError: the storage cannot be written.
    """
    jobs: list[Job] = []
    stages = build(ask_once(settings), root, lambda job, tell: jobs.append(job), perform_in_plan)
    return expect(settings, stages, jobs, stores.join(root, "tables"))


@flow(name="safepairs", persist_result=False)
def pipeline(config: str, prompts: str | None = None, storage: str | None = None) -> tuple[Release, list[Stage]]:
    """Build one release from the TOML file `config`; `prompts` and `storage` replace what it says."""
    prompts = given("prompts", prompts)
    check_allowed({"config": config, "prompts": prompts, "storage": storage})
    settings = configs.load(config, prompts, storage)
    load_credentials(settings)
    check(settings)
    own()
    root = stores.resolve(settings.storage)
    folder = stores.join(root, "tables")
    with alone(root) as check_alone, job_runner(settings, root, check_alone) as run, ray_cluster():
        stores.remove_unfinished(root)
        compact(folder)
        pull(settings, root)
        stages = build(settings, root, run, perform_in_run)
        project = preferences_to_review(settings, stages, root, folder)
        wait_for_people(settings, project)
        candidate = preferences_to_candidate(settings, stages, root)
        approval = ask_for_approval(settings, candidate, root)
        release = candidate_to_release(settings, candidate, approval, stages, root)
    return release, stages


@ends_at_once()
def main() -> None:
    """Run from the command line; a fault that the user can mend is one line and an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline", description="Build, check and publish one release."
    )
    parser.add_argument("config", help="TOML file, for instance flows/configs/demo.toml")
    parser.add_argument("--prompts", help="JSONL, JSON, CSV or Parquet with a column `prompt`, instead of the config's")
    parser.add_argument("--storage", help="folder for everything that is made, instead of the config's")
    parser.add_argument("--plan", action="store_true", help="say what would be asked of engines, and ask nothing")
    arguments = parser.parse_args()
    own()
    try:
        settings = configs.load(arguments.config, arguments.prompts, arguments.storage)
        if settings.credentials_block:
            start_server()
        load_credentials(settings)
        check(settings)
        if arguments.plan:
            logging.getLogger("tasks").setLevel(logging.WARNING)
            print_plan(plan(settings, stores.resolve(settings.storage)))
            return
        start_server()
        shown = arguments.prompts and stores.without_credentials(arguments.prompts)
        if shown != arguments.prompts:
            allow({"prompts": arguments.prompts})
        release, stages = pipeline(arguments.config, shown, arguments.storage)
    except SafePairsError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    print_summary(release, stages)


if __name__ == "__main__":
    main()

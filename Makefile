# Everything a checkout needs: `make demo` and `make test` set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help demo test check format golden picture clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "streamguard needs Python 3.11 or newer; name one: make PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "the venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "setting up $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP) ## The whole system on an embedded log: real data, a fault, an alert
	@$(BIN)/streamguard demo --once

test: $(STAMP) ## All tests; those that need Apache Kafka or Chromium are skipped where these are missing
	@$(BIN)/python -m pytest -n 2

check: $(STAMP) ## Lint, format, import order, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## Format and sort imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

golden: $(STAMP) ## Write the expected alerts of tests/golden/replay anew: look at the difference
	@$(BIN)/python -m tests.replay.golden

picture: $(STAMP) ## The picture of docs/backtest.md, by Chromium
	@$(BIN)/python -m tests.replay.picture

clean: ## Remove what was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

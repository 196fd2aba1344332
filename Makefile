# Towpath. `make` alone lists what can be done.
#
# Everything runs in .venv, which is built on first use: by uv where it is installed, by pip otherwise, from the
# hash-locked requirements.txt, which is complete: nothing is resolved (pip would stumble over extras that have no hash
# of their own). A finished environment carries a stamp; one without it was interrupted and is built anew.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COVERAGE := $(BIN)/coverage
TESTS := -n 2 --dist loadfile -m "not long"

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage test-long bench bench-serving lint types schemas lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Build the environment in .venv (every other target does so when needed)

demo: $(STAMP) ## Tell the whole story, from an empty folder to a rehearsed rollback
	@$(BIN)/towpath demo

test: lint types ## Lint, check types and run every test
	@$(BIN)/pytest $(TESTS)

coverage: $(STAMP) ## Run every test and print the coverage, which takes half as much processor time again
	@$(COVERAGE) erase
	@$(COVERAGE) run -m pytest $(TESTS)
	@$(COVERAGE) combine --quiet
	@$(COVERAGE) report

test-long: $(STAMP) ## Run the tests that take over a minute each
	@$(BIN)/pytest -m long

bench: $(STAMP) ## Measure side by side with peers and limits, and print the tables of benchmarks/README.md
	@for name in help inference remembering bootstrap flow reconcile audit rollback scale training; do $(BIN)/python benchmarks/$$name.py || exit 1; echo; done

bench-serving: $(STAMP) ## Set the service beside eight others (installs them into .cache; needs wrk)
	@$(BIN)/python benchmarks/serving

lint: $(STAMP) ## Check style with ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Check types with mypy
	@$(BIN)/mypy

schemas: $(STAMP) ## Write the JSON schemas of all records to docs/schemas
	@$(BIN)/towpath schemas docs/schemas

lock: ## Renew requirements.txt, which locks every dependency by hash (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: see https://docs.astral.sh/uv/"; exit 1; }
	uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --python-version 3.11 --all-extras --group dev pyproject.toml -o requirements.txt \
	  --custom-compile-command "make lock"

clean: ## Remove what the other targets made, except the environment
	rm -rf .demo .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# The first Python of 3.11 or newer; printed, or nothing.
FIND_PYTHON = for python in python3 python3.13 python3.12 python3.11 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python"; break; fi; done

$(STAMP): requirements.txt pyproject.toml
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "Towpath needs Python 3.11 or newer; none of python3, python3.13, python3.12, python3.11 is."; \
	  echo "Install one from your system's packages or from python.org, then run make again."; exit 1; fi; \
	if [ ! -e $@ ]; then rm -rf $(VENV); fi; \
	rm -f $@; \
	if command -v uv >/dev/null; then \
	  echo "Installing into $(VENV) with uv ..."; \
	  { [ -d $(VENV) ] || uv venv --quiet --python "$$python" $(VENV); } && \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r requirements.txt && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  echo "Installing into $(VENV) with pip (some minutes the first time) ..."; \
	  { [ -d $(VENV) ] || "$$python" -m venv $(VENV); } && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

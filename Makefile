# One command each; everything is installed into .venv, from the lock files, by plain pip.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Time-outs are a fact of slow networks; a caller's own values win.
export PIP_RETRIES ?= 10
export PIP_DEFAULT_TIMEOUT ?= 60
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# The locks are complete, so pip need not resolve anything; a download that fails all retries is tried anew.
install = for try in 1 2 3; do $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(1) && break; \
	[ $$try -lt 3 ] || exit 1; echo "pip failed; trying again ($$try of 2)" >&2; sleep 5; done
lock = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
WORKERS ?= 2

.PHONY: help install demo ui test test-backends lint lint-types lint-style lint-imports lint-definitions format docs lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing from requirements.lock (about 1 GB, once)"
	@$(call install,requirements.lock)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "installing from requirements-dev.lock"
	@$(call install,requirements-dev.lock)
	@touch $@

install: $(VENV)/.installed  ## install the product into .venv

demo: $(VENV)/.installed  ## bundled documents through every stage, to cited answers
	@$(BIN)/etl-assets demo

ui: $(VENV)/.installed  ## the Dagster UI, with the arrival sensor on
	@$(BIN)/etl-assets ui

# Types take as long as all the rest, and one process.
lint: $(VENV)/.installed-dev  ## style, types, import rule, definitions
	@$(MAKE) --no-print-directory --jobs=$(WORKERS) --output-sync=target lint-types lint-style lint-imports lint-definitions

lint-types:
	$(BIN)/mypy --strict etl_assets

lint-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-imports:
	$(BIN)/lint-imports

lint-definitions:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dg check defs

test: lint  ## everything that must hold: lint, and all tests with coverage
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -p etl_assets_tests.line_probes
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-backends: $(VENV)/.installed-dev  ## conformance suites, and all tests that need servers, which it installs and starts
	$(BIN)/python -m etl_assets_tests.servers install
	ETL_TEST_REQUIRE_SERVERS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal etl_assets_tests/conformance etl_assets_tests/real

format: $(VENV)/.installed-dev  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed  ## rewrite the pages that are generated from the code
	$(BIN)/python docs/reference/generate.py

lock: | $(BIN)/python  ## find the newest allowed versions and rewrite the lock files
	$(BIN)/python -m pip install --quiet uv
	$(lock) --group build --output-file requirements.lock
	$(lock) --all-extras --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean:  ## remove what is built, the home `data/` excepted
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache htmlcov .coverage .coverage.* build dist

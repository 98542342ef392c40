# Everything runs in .venv, made here from requirements.lock: nothing is needed but Python 3.10 to 3.13, make and g++.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)

# Records kept beside the checkout are found without a download.
export MITDB_DIR ?= $(wildcard $(CURDIR)/../shared/data/mitdb)
export ECG_ALQ_DATABASES ?= $(wildcard $(CURDIR)/../shared/data/databases)

# Files in the order in which they are collected: those that take minutes first (tests/conftest.py).
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install flow lab notebooks docs test test-fast lint format clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/'

install: $(STAMP) ## Make .venv with the locked versions and this project in it

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'ecg-alq needs Python 3.10, 3.11, 3.12 or 3.13 here (TensorFlow): install one, or name it: make PYTHON=/path/to/python3.11'; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q --upgrade 'pip>=25'
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	touch $@

flow: $(STAMP) ## Records -> trained -> quantised -> frozen -> HLS project -> C simulation -> report in build/flow
	$(BIN)/ecg-alq flow

lab: $(STAMP) ## JupyterLab on the notebooks: the guided walk from record to bitstream
	$(BIN)/ecg-alq notebook

notebooks: $(STAMP) ## The notebooks, executed in quick mode, as HTML in build/notebooks
	$(BIN)/ecg-alq notebook --html build/notebooks

test: $(STAMP) ## All tests, on two processes; the slowest twenty last
	$(BIN)/python -m pytest $(TWO) --durations=20

test-fast: $(STAMP) ## Tests that take seconds
	$(BIN)/python -m pytest $(TWO) -m 'not slow' --durations=20

lint: $(STAMP) docs ## Style, types, formatting of the kernels, README against results, notebooks without outputs, documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/picture.py --check
	$(BIN)/mypy qmodel hls board flow
	$(if $(wildcard hls/cpp/kernels/*.h),$(BIN)/clang-format --dry-run -Werror $(wildcard hls/cpp/kernels/*.h))
	$(BIN)/ecg-alq readme --check
	$(BIN)/python -m flow.publish.licences --check
	$(BIN)/ecg-alq notebook --check

docs: $(STAMP) ## Documentation site in build/site, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(STAMP) ## Format Python and kernels
	$(BIN)/ruff format
	$(BIN)/ecg-alq notebook --clean
	$(if $(wildcard hls/cpp/kernels/*.h),$(BIN)/clang-format -i $(wildcard hls/cpp/kernels/*.h))

clean: ## Remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

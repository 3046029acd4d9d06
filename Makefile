# Lodestream. `make run` and `make test` are all a fresh machine needs; both set everything up themselves.

PYTHON ?= python3
SIMULATE ?= 20
JOBS ?= 3
BIN = .venv/bin

.PHONY: help setup run test test-unit lint fmt bench bench-analytics chaos frames tracks lock clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

setup: .venv/.ready  ## create .venv from the lock file, with .venv/bin/lodestream

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Lodestream needs Python 3.11 or later; $$($(PYTHON) --version) is found. Set PYTHON=python3.12, say."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing (on Debian: apt install python3-venv)."; exit 2; }
	@test -x $(BIN)/python || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing the packages of requirements.lock"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup  ## run the whole line on this machine (SIMULATE=0: without the simulated fleet)
	@$(BIN)/lodestream up --simulate $(SIMULATE) $(UP)

test: setup  ## all tests: unit, frames, property, contract, integration with real Kafka and ClickHouse (JOBS at a time)
	@$(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile $(TEST)

test-unit: setup  ## only the tests that need no service
	@$(BIN)/python -m pytest tests/unit tests/frames tests/property tests/contract $(TEST)

lint: setup  ## ruff, mypy --strict, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

fmt: setup  ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup  ## measure everything: table, and bench-*.json with machine and versions
	@$(BIN)/python -m tests.bench $(BENCH)

bench-analytics: setup  ## ask every report of a made history of 100 million positions, and weigh it (SIZE=5000000: a short form)
	@$(BIN)/python -m tests.analytics $(if $(SIZE),--positions $(SIZE) --devices 500) $(ANALYTICS)

chaos: setup  ## kill -9 every part under load and compare with an undisturbed run, long form
	@LODESTREAM_CHAOS=long $(BIN)/python -m pytest tests/chaos -s $(TEST)

frames: setup  ## run the corpus of real frames through `lodestream decode` and print the table
	@$(BIN)/python -m tests.frames.corpus_table

tracks: setup  ## judge trips and stops on made tracks with a known truth, and on recorded ones: table and misses
	@$(BIN)/python -m tests.tracks

lock: setup  ## renew requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml -o requirements.lock

clean:  ## remove the environment and caches; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

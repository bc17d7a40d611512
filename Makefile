# The two commands: `make run` and `make test`. They need Python 3.11 or later with venv, and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test lint types check bench bench-scaling bench-learning bench-flip bench-rebuild bench-steering bench-ope \
  bench-large bench-limits slow statistical faults clean

run: $(VENV)/.lab
	$(BIN)/segbandit demo

test: $(VENV)/.dev
	$(BIN)/pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

# What takes minutes: 200,000 decisions through one process, a thousand trained bandits in another.
slow: $(VENV)/.dev
	$(BIN)/pytest -m slow -s -o faulthandler_timeout=900

# Whether 95 % intervals cover 95 %, in thousands of simulated logs; docs/intervals.md holds the figures.
statistical: $(VENV)/.dev
	$(BIN)/pytest -m statistical tests/statistical -s -o faulthandler_timeout=900

# Twenty kills of learner, API workers, PostgreSQL and network under load; SEGBANDIT_FAULTS_SEED=7 for others.
faults: $(VENV)/.dev
	$(BIN)/pytest -m faults -s

# Figures, each beside its baseline from the same run; see benchmarks/.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.serving

bench-scaling: $(VENV)/.dev
	$(BIN)/python -m benchmarks.scaling

bench-learning: $(VENV)/.dev
	$(BIN)/python -m benchmarks.learning

bench-steering: $(VENV)/.dev
	$(BIN)/python -m benchmarks.steering

bench-flip: $(VENV)/.dev
	$(BIN)/python -m benchmarks.flip

bench-rebuild: $(VENV)/.dev
	$(BIN)/python -m benchmarks.rebuild

# OBP=PYTHON names the Python of an environment with Open Bandit Pipeline, to stand beside ours.
bench-ope: $(VENV)/.dev
	$(BIN)/python -m benchmarks.ope $(if $(OBP),--obp $(OBP))

bench-large: $(VENV)/.dev
	$(BIN)/python -m benchmarks.large

bench-limits: $(VENV)/.dev
	$(BIN)/python -m benchmarks.limits

check: lint types test

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("segbandit needs Python 3.11 or later, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

# Hash-locked libraries first, then the project itself, editable.
$(VENV)/.lab: $(VENV)/bin/python requirements/build.txt requirements/lab.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/lab.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements/build.txt requirements/dev.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

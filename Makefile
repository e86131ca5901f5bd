# `make help` says what there is. Set-up happens by itself, in .venv, and only when pyproject.toml has changed.

.DEFAULT_GOAL := help
.PHONY: help setup test coverage test-interop test-packages test-paused test-pythons demo model fuzz soak bench bench-quick docs format clean
SHELL := /bin/sh

# Containers often set it. Each of the thousand programs that tests start would compile all of ours anew: 140 ms, of 300.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
DOCS_STAMP := $(VENV)/.set-up-docs

# The first of these that is CPython >= 3.11 with the venv module (Debian packs it separately), unless PYTHON is given.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python /usr/bin/python3
IS_GOOD := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")
find_python = $(shell for p in $(or $(PYTHON),$(CANDIDATES)); do \
	$$p -c '$(IS_GOOD)' >/dev/null 2>&1 && echo $$p && break; done)
NO_PYTHON := no CPython >= 3.11 with its venv module found (tried $(or $(PYTHON),$(CANDIDATES))); \
	on Debian: apt-get install python3-venv

help:
	@echo "make demo    run the main job for real, as separate processes"
	@echo "make test    linters, types, all tests"
	@echo "make coverage  all tests again, and which lines they reach"
	@echo "make test-pythons  all tests on every other Python from 3.11 to 3.14 that is found here, and coverage on one"
	@echo "make test-packages  the wheel and the sdist, built, installed in fresh venvs and used"
	@echo "make test-interop  only those with other programs: zerorpc 0.6, Node's, HAProxy, failing networks, loads"
	@echo "make test-paused  all tests, while each worker stands still for PAUSE=1.5 seconds again and again (Linux)"
	@echo "make model   a minute of random operations on both clients at once, against a model; SECONDS=600 SEED=1 (Linux)"
	@echo "make fuzz    ten minutes of hostile octets, to each thing that takes octets from outside; SECONDS=60 SEED=1 (Linux)"
	@echo "make soak    2,000 connections for 10 minutes, then three times what a server can do; SECONDS=60 is quicker (Linux)"
	@echo "make bench   measure us beside other RPCs, half an hour; bench-quick takes a minute (both: Linux)"
	@echo "make docs    the documentation as a site, in site/: open site/index.html"
	@echo "make format  let ruff put the code in shape"
	@echo "make setup   make .venv (demo and test do it too); PYTHON=python3.12 chooses the interpreter"
	@echo "make clean   remove everything that make has made"

VERSION = $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2] + sys.abiflags)')

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(or $(find_python),$(error $(NO_PYTHON))) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary :all: --editable ".[dev]"
	@touch $@

# Many tests wait for something, so several files at once keep two cores busy. A file's tests share what they start.
# tests/conftest.py says which files come first.
AT_ONCE := --numprocesses 4 --dist loadfile --no-loadscope-reorder
WITH_OTHERS := tests/interop tests/conformance tests/faults tests/benchmarks tests/soak

test: $(STAMP)
	$(BIN)/python -m tests.interop.set_up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src & mypy=$$!; \
	told=$$(PATH=$(CURDIR)/$(BIN):$$PATH pyright --verifytypes zerorpc --ignoreexternal) || { echo "$$told"; exit 1; }; \
	wait $$mypy
	$(BIN)/python -m pytest $(AT_ONCE) --ignore=tests/packages

# On another version than $(VENV)'s where there is one. tests/conftest.py says which tests are not measured.
coverage: $(STAMP)
	TESTED=$(VERSION) $(BIN)/nox --session coverage

test-interop: $(STAMP)
	$(BIN)/python -m tests.interop.set_up
	$(BIN)/python -m pytest $(AT_ONCE) $(WITH_OTHERS)

# For half of the time, so twice as many workers.
test-paused: PAUSE := 1.5
test-paused: $(STAMP)
	$(BIN)/python -m tests.interop.set_up
	$(BIN)/python -m pytest $(AT_ONCE) --numprocesses 8 -p tests.pauses --pause $(PAUSE) --ignore=tests/packages

test-packages: $(STAMP)
	$(BIN)/python -m pytest tests/packages

# All but the version of $(VENV), which is `make test`'s. Without another one, that one again for coverage.
test-pythons: $(STAMP)
	TESTED=$(VERSION) $(BIN)/nox

demo: $(STAMP)
	@$(BIN)/python demo/run.py

model: SECONDS := 60
model: $(STAMP)
	@$(BIN)/python -m tests.model --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# With atheris where that is installed: pip install ".[fuzz]"
fuzz: SECONDS := 600
fuzz: $(STAMP)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# SECONDS of load, after a warm-up; the overload after it takes two minutes at most.
soak: SECONDS := 600
soak: $(STAMP)
	@$(BIN)/python -m tests.soak --seconds $(SECONDS) $(if $(OUTPUT),--output $(OUTPUT))

# Whatever else runs at the same time is in the figures.
bench: $(STAMP)
	$(BIN)/python -m benchmarks --output benchmarks/results --page

bench-quick: $(STAMP)
	@$(BIN)/python -m benchmarks --quick

# A link that leads nowhere makes it fail. Pages that are there no more go with the folder.
docs: $(DOCS_STAMP)
	rm -rf site
	$(BIN)/python -m tools.site site

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary :all: --editable ".[docs]"
	@touch $@

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venvs .nox tests/interop/node/node_modules tests/interop/mcp_suite/node_modules .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist htmlcov site
	find . -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +

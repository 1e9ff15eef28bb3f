# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT    ?= out

.PHONY: help demo test lint quick bench clean
help:
	@echo "make demo   install what the demo needs into .venv and run it (no torch, no GPU); results in $(OUT)/"
	@echo "make test   install everything for development and fetch the face networks, then lint, type-check and test"
	@echo "make quick  the tests that need no long computation"
	@echo "make bench  all benchmarks; tables in benchmarks/results/"
	@echo "make clean  remove .venv and caches"

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gagjax needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/run

$(VENV)/models: $(VENV)/dev
	$(BIN)/gagjax models
	@touch $@

$(VENV)/bench: $(VENV)/dev
	$(PIP) install --constraint constraints.txt --editable '.[bench]'
	@touch $@

demo: $(VENV)/run
	$(BIN)/gagjax demo -o $(OUT) --force

# The hooks of .pre-commit-config.yaml; without a git repository, which pre-commit needs, the tools themselves.
lint: $(VENV)/dev
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then $(BIN)/pre-commit run --all-files; \
	 else $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy; fi

test: lint $(VENV)/models
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --nbmake tests notebooks

quick: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow"

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks.run_all

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

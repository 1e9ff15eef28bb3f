# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT    ?= out
VALIDATOR := gltf-validator@2.0.0-dev.3.10

# A few minutes over each library that pyproject.toml bounds; no torch.
SUBSET := tests/io tests/metrics tests/flame tests/splatting tests/filters/test_base.py tests/filters/test_kalman.py \
          tests/filters/test_oracles.py tests/test_so3.py tests/test_track.py tests/test_camera.py \
          tests/app/test_cli.py tests/app/test_presets.py

.PHONY: help demo test lint quick subset docs bench clean
help:
	@echo "make demo   install what the demo needs into .venv and run it (no torch, no GPU); results in $(OUT)/"
	@echo "make test   install everything for development and fetch the face networks, then lint, type-check and test"
	@echo "make quick  the tests that need no long computation"
	@echo "make docs   the documentation as web pages, in docs/_build/html; a warning is an error"
	@echo "make subset a few minutes of tests over each library, without torch"
	@echo "make bench  all benchmarks; tables in benchmarks/results/"
	@echo "make clean  remove .venv and caches"

# Where PYTHON is given and .venv is of another version, it is made anew.
ifneq ($(filter environment command,$(origin PYTHON)),)
WANTED := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
FOUND  := $(shell sed -n 's/^version\(_info\)\{0,1\} = \([0-9]*\.[0-9]*\).*/\2/p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(FOUND),)
ifneq ($(FOUND),$(WANTED))
.PHONY: $(VENV)/created
endif
endif
endif

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gagjax needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@if [ -n "$(FOUND)" ]; then echo "$(VENV) is of Python $(FOUND): it is made anew with Python $(WANTED)"; fi
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/run

$(VENV)/test: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/models: $(VENV)/dev
	$(BIN)/gagjax models
	@touch $@

# Khronos' validator, a program of another make that reads what `gagjax export` writes; its tests skip without npm.
$(VENV)/validator: $(VENV)/created
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/node $(VALIDATOR) && touch $@ || echo "npm could not fetch $(VALIDATOR): its tests are skipped"; \
	 else echo "npm is not here: the tests with the glTF validator are skipped"; fi

$(VENV)/bench: $(VENV)/dev
	$(PIP) install --constraint constraints.txt --editable '.[bench]'
	@touch $@

demo: $(VENV)/run
	$(BIN)/gagjax demo -o $(OUT) --force

# The hooks of .pre-commit-config.yaml; without a git repository, which pre-commit needs, the tools themselves.
lint: $(VENV)/dev
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then $(BIN)/pre-commit run --all-files; \
	 else $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy; fi

test: lint $(VENV)/models $(VENV)/validator
	NODE_PATH=$(CURDIR)/$(VENV)/node/node_modules $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --nbmake tests notebooks

quick: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow"

docs: $(VENV)/dev
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

subset: $(VENV)/test
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow" $(SUBSET)

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks.run_all

clean:
	rm -rf docs/_build docs/generated $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

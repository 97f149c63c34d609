# `make demo` and `make test` set up what they need in .venv; a plain Python 3.11 is enough.
PYTHON ?= python3.11
ifeq ($(shell command -v $(PYTHON)),)
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: demo test test-loaders lint bench docs lock clean

# The run's own dependencies, locked.
$(VENV)/.core: requirements/core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/core.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# And those of tests and linters.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	touch $@

demo: $(VENV)/.core
	$(BIN)/curate demo $(DEMO)/pool
	$(BIN)/curate run recipes/quickstart.yaml --out $(DEMO)/run --truth $(DEMO)/pool/truth.jsonl

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# What needs other projects' own programs, each in a venv of its own below .cache/venvs.
test-loaders: $(VENV)/.dev
	$(BIN)/python -m pytest -m loaders --override-ini testpaths=tests/loaders

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/curate stages --markdown | diff -u docs/stages.md - || (echo "docs/stages.md is stale: make docs"; exit 1)

bench: $(VENV)/.dev
	for b in benchmarks/[a-z]*.py; do $(BIN)/python $$b --small || exit 1; done

docs: $(VENV)/.core
	$(BIN)/curate stages --markdown > docs/stages.md

# The newest versions that pyproject.toml allows, written down; no index is named in the files, and no
# build of torch for a certain CUDA (the part behind `+`, and the libraries it asks for by itself): any index has
# one of that version.
lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet pip-tools
	$(VENV)/lock/bin/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --strip-extras --allow-unsafe --output-file requirements/core.txt pyproject.toml requirements/build.in
	$(VENV)/lock/bin/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --strip-extras --allow-unsafe --extra dev --output-file requirements/dev.txt pyproject.toml requirements/build.in
	for file in requirements/core.txt requirements/dev.txt; do \
	  awk '/^[a-z]/ {of_cuda = /^(nvidia|cuda|triton)/} !of_cuda {sub(/\+(cpu|cu[0-9]+)$$/, ""); print}' $$file > $$file.new; \
	  mv $$file.new $$file; done
	rm -r $(VENV)/lock

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info

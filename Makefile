# Two commands are enough: `make book` and `make test`. Everything they make stays in .venv*, _build
# and node_modules; nothing outside this directory is touched.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CODE := memslotlib $(wildcard kvm figures benchmarks tests tools)
NATIVE_SOURCES := $(wildcard kvm/*.py kvm/*.c kvm/*.h kvm/*.S kvm/*.toml)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

## What readers and developers call

.PHONY: book
book: $(VENV)/.project $(VENV)/.node native ## Build the book: chapters executed, site in _build/html
	@$(BIN)/python -m memslotlib.booktools.build
	@echo "book: $(CURDIR)/_build/html/index.html"

.PHONY: test
test: lint native ## Test everything: lint, types, floors, spelling, tests, doctests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.test ## Style, types, floors, spelling, and the code cells of the chapters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python tools/lint_chapters.py book

.PHONY: pages
pages: $(VENV)/.test $(VENV)-sphinx/.installed ## Check the built pages in a browser, and build them with plain Sphinx
	$(BIN)/python -m memslotlib.booktools.check_pages _build/html
	$(VENV)-sphinx/bin/python -m sphinx -W --keep-going -q -c tools/direct book _build/direct

.PHONY: notebooks
notebooks: $(VENV)/.project native ## Open JupyterLab; a double-click opens a chapter as a notebook
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter" $(BIN)/jupyter lab book

.PHONY: evidence
evidence: $(VENV)/.project native ## Run the experiments on this machine and record them
	$(BIN)/memslots evidence record

.PHONY: bench
bench: $(VENV)/.test native ## Measure: the programs in benchmarks/, one after the other
	@set -e; for program in benchmarks/bench_*.py; do echo "== $$program"; $(BIN)/python "$$program"; done

.PHONY: mutate
mutate: $(VENV)/.mutate native ## Change the simulator's code line by line and see that a test notices
	$(BIN)/python tools/mutate.py

.PHONY: sweep
sweep: ## Many runs over many machines (a later part of the work)
	@echo "make sweep: not there yet, it comes with the lab"; exit 2

.PHONY: lock
lock: ## Pin the newest versions with their hashes: requirements/*.txt
	tools/lock

.PHONY: clean
clean: ## Remove everything that make has made
	rm -rf _build build node_modules $(VENV) $(VENV)-sphinx *.egg-info memslotlib/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants

## What they are made of

# Each step leaves a stamp and runs again only when what it reads has changed.
$(BIN)/python:
	@tools/preflight
	$$(tools/preflight python) -m venv $(VENV)

$(VENV)/.book: requirements/book.txt | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# The project itself, editable. Its build backend is already there: no index is asked.
$(VENV)/.project: pyproject.toml $(VENV)/.book
	$(PIP_INSTALL) --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.project
	$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.mutate: requirements/mutate.txt $(VENV)/.test
	$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.node: requirements/node.txt $(VENV)/.book
	@command -v node >/dev/null && command -v npm >/dev/null || $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# An environment of its own: the hedge runs a current Sphinx, Jupyter Book 1.x an older one.
$(VENV)-sphinx/.installed: requirements/sphinx.txt pyproject.toml
	@tools/preflight >/dev/null
	$$(tools/preflight python) -m venv $(VENV)-sphinx
	$(VENV)-sphinx/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(VENV)-sphinx/bin/python -m pip install --quiet --no-index --no-deps --no-build-isolation -e .
	@touch $@

# Optional: without a compiler the host backend falls back to ctypes, and the note says so.
.PHONY: native
native: $(VENV)/.project
	@if tools/preflight compiler; then $(MAKE) -s $(VENV)/.native; else tools/preflight; fi

$(VENV)/.native: $(NATIVE_SOURCES) $(VENV)/.project
	@echo "$(BIN)/python kvm/build.py"
	@$(BIN)/python kvm/build.py
	@touch $@

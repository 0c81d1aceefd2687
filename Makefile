# Two commands are enough: `make book` and `make test`. Everything they make stays in .venv*, _build
# and node_modules; nothing outside this directory is touched.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $1/bin/python -m pip install --quiet --disable-pip-version-check
NEW_VENV = "$$(tools/preflight python)" -m venv --clear $1 && \
	$(call PIP_INSTALL,$1) --require-hashes -r requirements/pip.txt
# Editable, and without asking an index: its build backend is one of the requirements.
THIS_PROJECT := --quiet --no-index --no-deps --no-build-isolation -e .
NATIVE_SOURCES := $(wildcard kvm/*.*)
WALKER_SOURCES := tools/build_walker.py $(wildcard memslotlib/check/_walker*.[ch])

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

## What readers and developers call

.PHONY: book
book: $(VENV)/.project native ## Build the book: chapters executed, site in _build/html
	@$(BIN)/python -m memslotlib.booktools.build

PYTEST = $(BIN)/python -m pytest --ignore=tests/pages
PARALLEL = -n auto --maxprocesses=4 --dist loadgroup
# What asks the host's KVM has the machine to itself. PYTEST_ARGS may choose nothing of one part,
# which is status 5, but not of both.
BOTH = one=0 two=0; $1 || one=$$?; [ $$one -le 1 ] || [ $$one = 5 ] || exit $$one; \
	$2 || two=$$?; case $$one-$$two in 0-0|0-5|5-0) ;; *) exit 1;; esac

.PHONY: test
test: lint native ## Test everything but the built pages: lint, types, floors, tests, doctests
	@$(call BOTH,$(PYTEST) -m "not needs_kvm" $(PARALLEL) $(PYTEST_ARGS),$(PYTEST) -m needs_kvm $(PYTEST_ARGS))

.PHONY: lint
lint: $(VENV)/.test ## Style, types, floors, spelling, and the code cells of the chapters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/python tools/lint_chapters.py book

.PHONY: pages
pages: book $(VENV)/.test $(VENV)-sphinx/.installed ## Check the built pages in a browser, and build them with plain Sphinx
	$(BIN)/python -m pytest tests/pages $(PYTEST_ARGS)
	$(BIN)/python -m memslotlib.booktools.build --sphinx

.PHONY: notebooks
notebooks: $(VENV)/.project native ## Open JupyterLab; a double-click opens a chapter as a notebook
	@$(BIN)/python -m memslotlib.booktools.lab $(LAB_ARGS)

.PHONY: evidence
evidence: $(VENV)/.project native ## Run the experiments on this machine and record them
	$(BIN)/memslots evidence record $(EVIDENCE_ARGS)

.PHONY: bench
bench: $(VENV)/.test native ## Measure: the programs in benchmarks/, one after the other
	@set -e; for program in benchmarks/bench_*.py; do echo "== $$program"; $(BIN)/python "$$program"; done

.PHONY: mutate
mutate: $(VENV)/.mutate native ## Change the simulator's code line by line and see that a test notices
	$(BIN)/python tools/mutate.py $(MUTATE_ARGS)

.PHONY: sweep
sweep: ## Many runs over many machines (a later part of the work)
	@echo "make sweep: not there yet, it comes with the lab"; exit 2

.PHONY: lock
lock: ## Pin the newest versions with their hashes: requirements/*.txt
	tools/lock

.PHONY: clean
clean: ## Remove everything that make has made
	rm -rf _build build node_modules $(VENV) $(VENV)-sphinx *.egg-info memslotlib/*.so memslotlib/check/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants

## What they are made of

# Each step leaves a stamp and runs again only when what it reads has changed.
$(BIN)/python:
	@tools/preflight
	$(call NEW_VENV,$(VENV))

$(VENV)/.book: requirements/book.txt | $(BIN)/python
	$(call PIP_INSTALL,$(VENV)) --require-hashes -r $<
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.book
	$(call PIP_INSTALL,$(VENV)) $(THIS_PROJECT)
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.project
	$(call PIP_INSTALL,$(VENV)) --require-hashes -r $<
	@touch $@

$(VENV)/.mutate: requirements/mutate.txt $(VENV)/.test
	$(call PIP_INSTALL,$(VENV)) --require-hashes -r $<
	@touch $@

# An environment of its own: the hedge runs a current Sphinx, Jupyter Book 1.x an older one.
$(VENV)-sphinx/.installed: requirements/sphinx.txt pyproject.toml
	@tools/preflight >/dev/null
	$(call NEW_VENV,$(VENV)-sphinx)
	$(call PIP_INSTALL,$(VENV)-sphinx) --require-hashes -r $<
	$(call PIP_INSTALL,$(VENV)-sphinx) $(THIS_PROJECT)
	@touch $@

# Optional: where a tool is missing, the build says so with status 3. Without the first the host
# backend makes its ioctls through fcntl, without the second the explorer runs on numpy or in plain
# Python. A compiler that is there and refuses is an error.
BUILT = status=0; $(BIN)/python -m $1 || status=$$?; \
	case $$status in 0) touch $@;; 3) ;; *) exit $$status;; esac

.PHONY: native force
native: $(VENV)/.native $(VENV)/.walker
$(VENV)/.native: $(NATIVE_SOURCES) $(VENV)/.project $(if $(wildcard memslotlib/_kvm.*.so),,force)
	@$(call BUILT,kvm.build)
$(VENV)/.walker: $(WALKER_SOURCES) kvm/build.py $(VENV)/.project $(if $(wildcard memslotlib/check/_walker.*.so),,force)
	@$(call BUILT,tools.build_walker)

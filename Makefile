# Every target does its own set-up: a virtual environment in .venv with the exact versions of constraints.txt.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FIGURE ?=
SUITE  ?= bookworm

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint types floors unit long bench install uninstall deb test-systemd clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) \
	  || { echo "The venv module is needed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## Run the whole job against the embedded sandbox (no account needed, under 30 s)
	@$(BIN)/illumio-azsql-enforcer demo

serve: $(READY) ## Keep the sandbox up for the real commands
	@$(BIN)/illumio-azsql-enforcer demo --serve

test: lint types floors unit ## Pass the tests: lint, types, import floors, test suite

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not long and not systemd"

long: $(READY) ## The long runs of the property tests
	$(BIN)/python -m pytest -n 2 -m long

bench: $(READY) ## Measure; make bench FIGURE=NAME takes one figure
	$(BIN)/python -m benchmarks $(FIGURE)

install: ## Install the service, or upgrade it, as root: /opt, /etc, units, man page, completion
	@systemd/install.sh program
	@systemd/install.sh files
	@systemd/install.sh activate

uninstall: ## Remove the service, as root; config and journal stay
	@systemd/install.sh uninstall

deb: ## Build a Debian package of the service into dist/
	@systemd/build-deb.sh

test-systemd: $(READY) ## Test the service under a real systemd, as root: SUITE=bookworm or trixie
	SYSTEMD_SUITE=$(SUITE) $(BIN)/python -m pytest -m systemd tests/systemd

clean: ## Remove everything that make made
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

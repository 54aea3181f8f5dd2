# Every target does its own set-up: a virtual environment in .venv with the exact versions of constraints.txt.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PREFIX ?= /opt/illumio-azsql-enforcer
CONFIG ?= /etc/illumio-azsql-enforcer
UNITS  ?= /etc/systemd/system
FIGURE ?=

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint types floors unit long bench install uninstall clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	$(BIN)/python -m pytest -n 2 -m "not long"

long: $(READY) ## The long runs of the property tests
	$(BIN)/python -m pytest -n 2 -m long

bench: $(READY) ## Measure; make bench FIGURE=NAME takes one figure
	$(BIN)/python -m benchmarks $(FIGURE)

install: ## Install the service under $(PREFIX) (as root)
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	install -d -m 0755 $(CONFIG) $(UNITS)
	test -e $(CONFIG)/config.yaml || install -m 0644 config.example.yaml $(CONFIG)/config.yaml
	test -e $(CONFIG)/pce-api-secret || install -m 0600 /dev/null $(CONFIG)/pce-api-secret
	for unit in systemd/*.service; do \
	  sed 's|@PREFIX@|$(PREFIX)|g; s|@CONFIG@|$(CONFIG)|g' $$unit > $(UNITS)/$${unit#systemd/}; done
	ln -sf $(PREFIX)/bin/illumio-azsql-enforcer /usr/local/bin/illumio-azsql-enforcer
	@echo "Edit $(CONFIG)/config.yaml, put the secret into $(CONFIG)/pce-api-secret, then:"
	@echo "  systemctl daemon-reload && systemctl enable --now illumio-azsql-enforcer"

uninstall: ## Remove the service; the config stays
	rm -rf $(PREFIX) /usr/local/bin/illumio-azsql-enforcer
	for unit in systemd/*.service; do rm -f $(UNITS)/$${unit#systemd/}; done

clean: ## Remove everything that make made
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

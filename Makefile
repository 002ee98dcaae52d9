# `make help` lists what can be made. Everything Python goes into .venv; nothing outside the checkout changes,
# except that `make test` installs missing Debian packages where it may (root, or sudo without a password).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_OPTIONS ?=
WORKERS ?= 3
DEMO_OPTIONS ?=
LOCK_OPTIONS ?=
ROUNDS ?= 200

.PHONY: help demo test check format reference test-long test-tools test-home-assistant test-interop test-faults soak fuzz \
	demo-models live-page deb lock audit sbom clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: $(VENV)/.demo ## see it work: drawn cameras, bundled models, a broker, a live table (DEMO_OPTIONS="--seconds 30")
	@$(BIN)/python -m edgenode demo $(DEMO_OPTIONS)

test: $(VENV)/.dev ## run all tests but the long ones (PYTEST_OPTIONS="-k rules", WORKERS=0 for one process)
	@scripts/system-packages.sh
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --rerun-real-time $(PYTEST_OPTIONS)

check: $(VENV)/.dev ## lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev ## put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

reference: $(VENV)/.dev ## write the generated documents and dashboards from the code
	@$(BIN)/python -m scripts.reference

test-long: $(VENV)/.dev ## run the tests that take minutes
	@scripts/system-packages.sh
	@$(BIN)/python -m pytest -m slow $(PYTEST_OPTIONS)

test-interop: $(VENV)/.dev $(VENV)-tensorflow/.made ## import models that Keras and TensorFlow make (installs both, 1.6 GB)
	@EDGENODE_TEST_TENSORFLOW=$(abspath $(VENV)-tensorflow)/bin/python $(BIN)/python -m pytest tests/interop $(PYTEST_OPTIONS)

test-tools: $(VENV)/.dev ## ask AsyncAPI's parser and a real Node-RED (needs node and npm)
	@scripts/system-packages.sh
	@npm install --prefix build/tools --no-save --no-audit --no-fund --ignore-scripts @asyncapi/parser node-red
	@node scripts/check-asyncapi.mjs build/tools
	@EDGENODE_NODE_RED=$(abspath build/tools/node_modules/.bin/node-red) \
		$(BIN)/python -m pytest tests/system/test_node_red.py $(PYTEST_OPTIONS)

test-home-assistant: $(VENV)/.dev ## show Home Assistant's own code what the node announces (installs it, needs Python 3.13)
	@scripts/test-home-assistant.sh "$(BIN)/python" "$(VENV)-home-assistant"

test-faults: $(VENV)/.dev ## kill, freeze and cut off nodes and brokers 200 times (ROUNDS=2000 SEED=1)
	@scripts/system-packages.sh
	@EDGENODE_FAULT_ROUNDS=$(ROUNDS) $(if $(SEED),EDGENODE_FAULT_SEED=$(SEED)) \
		$(BIN)/python -m pytest -m faults -s $(PYTEST_OPTIONS)

soak: $(VENV)/.dev ## a node under a fault every ten seconds, and whether anything grows (MINUTES=30 SEED=1)
	@scripts/system-packages.sh
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.dev ## 100,000 damaged inputs of each of ten kinds, from configurations to videos (INPUTS=100000 SEED=1)
	@failed=0; for target in $$($(BIN)/python -m tests.faults.fuzz --list); do \
		$(BIN)/python -m tests.faults.fuzz $$target --inputs $(or $(INPUTS),100000) $(if $(SEED),--seed $(SEED)) || failed=1; \
	done; exit $$failed

demo-models: $(VENV)/.dev ## teach the demo's models anew, from the drawn scenes
	@$(BIN)/python -m trainer.scene_models edgenode/demo/models

live-page: ## build the live page anew from deploy/dashboard (needs node and npm)
	@cd deploy/dashboard && npm ci --no-audit --no-fund && npm run build

deb: ## build a Debian package into dist/ (needs dh-virtualenv, debhelper, build-essential)
	@scripts/debian-package.sh

lock: $(VENV)/.supply ## pin the node's libraries anew in deploy/requirements.txt (LOCK_OPTIONS=--upgrade)
	@scripts/lock.sh $(BIN)/python $(LOCK_OPTIONS)

audit: $(VENV)/.supply ## ask the package index for known vulnerabilities of what is pinned
	@scripts/audit.sh $(BIN)/python

sbom: $(VENV)/.supply ## write the bill of materials into dist/edgenode.cdx.json (CycloneDX)
	@scripts/sbom.sh $(BIN)/python dist/edgenode.cdx.json

clean: ## remove what was made, .venv too
	rm -rf $(VENV) $(VENV)-tensorflow build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: scripts/venv.sh
	@scripts/venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@echo "installing the node and its demo"
	@$(PIP) install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	@scripts/torch.sh "$(BIN)/python"
	@echo "installing the node, the trainer and the tests' tools"
	@$(PIP) install --quiet --editable '.[demo,trainer,dev]'
	@touch $@ $(VENV)/.demo

$(VENV)-tensorflow/.made: scripts/venv.sh tests/interop/requirements.txt
	@scripts/venv.sh "$(PYTHON)" "$(VENV)-tensorflow"
	@echo "installing TensorFlow and Keras into an environment of their own"
	@$(VENV)-tensorflow/bin/python -m pip --disable-pip-version-check install --quiet -r tests/interop/requirements.txt
	@touch $@

$(VENV)/.supply: $(VENV)/.made pyproject.toml
	@echo "installing the tools for pinned libraries"
	@$(PIP) install --quiet --editable '.[supply]'
	@touch $@

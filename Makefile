# Heliograph: every command, the same here and in CI. `make` alone prints the list.
#
# Nothing needs to be installed beforehand but Python 3.11+ and GNU make. Targets set up on their own: stamp files
# remember what was installed from which files, so a second call costs a second.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ENGINE ?= docker
TAG ?= dev
AREA ?=
# Most tests wait for servers and processes, so a few at a time share the cores; WORKERS= runs one after the other.
WORKERS ?= --numprocesses 3 --dist worksteal
ARGS ?=

BIN := .venv/bin
BUILD_BIN := .build-venv/bin
UV := $(BUILD_BIN)/uv
OURS := $(shell sed -n 's/^-e //p' requirements/dev.in)
SERVICES := projects segments campaigns journeys messaging registry10dlc analytics gateway
PROTO_FILES := $(shell find protos/heliograph -name '*.proto' -o -type d)
PYPROJECTS := $(wildcard $(addsuffix /pyproject.toml,$(OURS)))

##@ Start here

.PHONY: help
help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(BIN)/.ours protos/gen/.stamp ## create .venv with everything, from hashed locks

.PHONY: demo
demo: setup ## the whole story on real data; writes build/demo.json (ARGS=--stay keeps the suite running)
	$(BIN)/heliograph demo $(ARGS)

.PHONY: run
run: setup ## start PostgreSQL, NATS and every service here (heliograph up)
	$(BIN)/heliograph up $(ARGS)

##@ Check

.PHONY: test
test: lint ## lint, then every test (ARGS='tests/segments -k import' narrows)
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

.PHONY: test-long
test-long: setup ## the tests that take minutes, such as kills in the middle of large imports
	$(BIN)/python -m pytest -m long $(ARGS)

.PHONY: chaos
chaos: setup ## kill workers, NATS and PostgreSQL 30 times in a run of 50,000 messages; at most ten minutes
	$(BIN)/python -m pytest -m long tests/chaos $(ARGS)

.PHONY: lint
lint: setup ## ruff, mypy, import contracts, buf lint, format and breaking
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint protos
	$(BIN)/buf format protos -d --exit-code
	@$(MAKE) buf-breaking

.PHONY: types
types: setup ## mypy --strict alone
	$(BIN)/mypy $(ARGS)

# The released protos are taken out of git into a folder: that works in any clone, worktree or detached checkout.
.PHONY: buf-breaking
buf-breaking:
	@main=$$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || true); \
	if [ -z "$$main" ]; then echo "buf breaking: skipped, there is no main branch to compare with"; \
	elif [ -z "$$(git ls-tree -r --name-only "$$main" protos | grep '\.proto$$' || true)" ]; then echo "buf breaking: skipped, main has no protos yet"; \
	else rm -rf build/protos-of-main; mkdir -p build/protos-of-main; \
	  git archive "$$main" protos | tar -x -C build/protos-of-main; \
	  $(BIN)/buf breaking protos --against build/protos-of-main/protos && echo "buf breaking: nothing breaks $${main:0:12}"; fi

.PHONY: bench
bench: setup ## measure (AREA=segments: one area); writes build/bench/<area>.json
	$(BIN)/python -m benchmarks $(AREA) $(ARGS)

.PHONY: manifests
manifests: setup ## render and validate everything in deploy/k8s
	$(BIN)/python deploy/k8s/validate.py

##@ Change

.PHONY: protos
protos: $(BUILD_BIN)/.stamp ## compile the .proto files to protos/gen/python
	$(BUILD_BIN)/python protos/generate.py
	@touch protos/gen/.stamp

.PHONY: format
format: setup ## let ruff and buf write their format
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(BIN)/buf format protos -w

.PHONY: reference
reference: setup ## write docs/settings.md and docs/metrics.md from the code
	$(BIN)/python docs/reference.py

.PHONY: lock
lock: $(BUILD_BIN)/.stamp ## compile requirements/*.in; pins stay where they can
	@$(MAKE) locks UPGRADE=

.PHONY: lock-upgrade
lock-upgrade: $(BUILD_BIN)/.stamp ## compile requirements/*.in with the newest versions allowed
	@$(MAKE) locks UPGRADE=--upgrade

##@ Ship

.PHONY: images
images: ## build one image per service (ENGINE=podman, TAG=...)
	@command -v $(ENGINE) >/dev/null || { echo "images: no $(ENGINE) here; set ENGINE to a container engine"; exit 1; }
	@for service in $(SERVICES); do \
	  $(ENGINE) build --build-arg SERVICE=$$service --tag heliograph-$$service:$(TAG) .; done

.PHONY: clean
clean: ## remove environments, generated files and caches; the suite's data in .heliograph stays
	rm -rf .venv .build-venv build dist protos/gen .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------------
# Environments. uv comes from the hashed build.txt too; everything below is verified against hashes.

define NEEDS_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit("Heliograph needs Python 3.11 or newer, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])
endef
export NEEDS_PYTHON

$(BUILD_BIN)/.stamp: requirements/build.txt
	@$(PYTHON) -c "$$NEEDS_PYTHON"
	$(PYTHON) -m venv .build-venv
	$(BUILD_BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

$(BIN)/.third-party: requirements/lock.txt $(BUILD_BIN)/.stamp
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/lock.txt
	@touch $@

# Editable and without dependencies: what is not in lock.txt is not installed. -b pins what the builds themselves use.
$(BIN)/.ours: $(BIN)/.third-party $(PYPROJECTS) requirements/dev.in protos/generate.py
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -b requirements/build.txt $(addprefix -e ,$(OURS))
	@touch $@

# Folders are listed beside the files so that a removed .proto is noticed as well.
protos/gen/.stamp: $(PROTO_FILES) protos/generate.py $(BUILD_BIN)/.stamp
	@$(MAKE) protos

# ---------------------------------------------------------------------------------------------------------------------
# Locks: third party only. An editable line would make `--require-hashes` refuse the file; an index address would tie
# the file to the machine that compiled it. dev comes first, the others are constrained to its versions.

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE) \
  $(foreach folder,$(OURS),--no-emit-package $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(folder)/pyproject.toml))

.PHONY: locks
locks:
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE) requirements/build.in -o requirements/build.txt
	@$(COMPILE) requirements/dev.in -o requirements/lock.txt
	@for name in $(SERVICES) suite; do \
	  $(COMPILE) requirements/$$name.in -c requirements/lock.txt -o requirements/$$name.txt; done
	@echo "compiled: $$(ls requirements/*.txt | xargs)"

# nixel: `make run` shows it working, `make test` proves it. Both do all the set-up they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PACKAGES := src/physics src/acquisition src/reconstruction services/safety services/update services/imaging
SAFETY_PROOF := services/safety/tests/test_core_exhaustive.py services/safety/tests/test_core_stateful.py
WEB := services/imaging/web
WEB_SOURCES := $(shell find $(WEB) -path $(WEB)/node_modules -prune -o -path $(WEB)/dist -prune -o -type f -print 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help run setup page test bench measure-safety verify-safety verify-acquisition mutants fuzz lint openapi lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | column -t -s "$$(printf '\t')"

run: setup page  ## scan a phantom, reconstruct it, serve the page (ONCE=1: end after the picture; PORT=, DATA=, SEED=)
	@$(BIN)/nixel demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT)) $(if $(DATA),--data $(DATA)) $(if $(SEED),--seed $(SEED))

setup: $(VENV)/.ready  ## prepare .venv; its command is .venv/bin/nixel

$(VENV)/.ready: requirements/runtime.lock $(PACKAGES:%=%/pyproject.toml)
	@tools/setup-venv $(PYTHON) $(VENV) $(PACKAGES)
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements/dev.lock requirements/torch.lock requirements/torch.txt
	@echo "nixel: installing what the tests need"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/torch.txt \
	  && $(BIN)/python -m pip install --quiet --require-hashes -r requirements/torch.lock \
	  || echo "nixel: no CPU build of PyTorch for this machine; the tests that want one say so"
	@touch $@

page: $(WEB)/dist/.ready  ## build the page (needs Node 20.19 or newer; without it everything else works)

$(WEB)/dist/.ready: $(WEB_SOURCES)
	@tools/build-page $(WEB)

test: setup page $(VENV)/.ready-dev  ## every tier that can run here; ends with the list of those that could not
	@$(BIN)/python tools/run-tests

bench: $(BENCH_VENV)/.ready  ## ours beside its peers and floors: one table, bench/results.json, docs/performance.md (ONLY="psf mpi": those cases)
	@status=0; $(BENCH_VENV)/bin/python bench/bench.py $(ONLY) || status=$$?; \
	  [ $$status -gt 1 ] || $(BENCH_VENV)/bin/python bench/page.py; exit $$status

# The peers, and ours, apart from .venv: what nixel needs must not depend on what it is compared with.
$(BENCH_VENV)/.ready: requirements/runtime.lock requirements/bench.lock $(PACKAGES:%=%/pyproject.toml)
	@tools/setup-venv $(PYTHON) $(BENCH_VENV) $(PACKAGES)
	@echo "nixel: installing the peers"
	@$(BENCH_VENV)/bin/python -m pip install --quiet --no-build-isolation --require-hashes -r requirements/bench.lock \
	  || { echo "nixel: not all peers install here together, so they are tried one by one; the table says which are missing"; \
	       tools/install-peers $(BENCH_VENV)/bin/python; }
	@touch $@

measure-safety: setup  ## the safety daemon's numbers, on a machine with nothing else to do (about two hours; JSON=FILE)
	@$(BIN)/python bench/measure_safety.py all $(if $(JSON),--json $(JSON))

verify-acquisition: setup  ## what the acquisition promises, measured: docs/acquisition-measured.md (some 20 minutes; ONLY="kills stall": those)
	@$(BIN)/python bench/measure_acquisition.py $(ONLY)

mutants: $(VENV)/.ready-dev  ## mutate the safety logic and count what its tests kill (minutes; can be interrupted; FRESH=1: anew)
	@$(BIN)/python tools/mutants $(if $(FRESH),--fresh)

verify-safety: $(VENV)/.ready-dev  ## all of the safety daemon's evidence that takes long: whole proof, mutants, attacks, numbers (hours)
	NIXEL_PROOF=long $(BIN)/python tools/run-tests $(SAFETY_PROOF)
	$(MAKE) mutants FRESH=1
	$(MAKE) fuzz
	$(MAKE) measure-safety

fuzz: $(VENV)/.ready-dev  ## attack the safety socket for long: FOR= seconds for each target and attack (600)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.lock \
	  || echo "nixel: no coverage-guided fuzzer for this machine (it needs a wheel, or clang); the attacks run without it"
	@$(BIN)/python services/safety/tests/fuzz.py $(or $(FOR),600)

lint: $(VENV)/.ready-dev  ## style, annotations and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

openapi: setup  ## write services/imaging/openapi.json anew
	@$(BIN)/nixel openapi > services/imaging/openapi.json.new && mv services/imaging/openapi.json.new services/imaging/openapi.json

lock:  ## pin every dependency anew (needs uv)
	@requirements/lock.sh --upgrade

clean:  ## remove what can be made again (not the data)
	rm -rf $(VENV) $(BENCH_VENV) $(WEB)/node_modules $(WEB)/dist .mypy_cache .ruff_cache .pytest_cache

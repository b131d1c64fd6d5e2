# `make demo` and `make test` set up everything they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait for brokers and other processes half of their time: two processes more than there are cores.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
# Modules are compiled once, also where the environment says not to: a process that imports torch
# starts in a third of the time then, and tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=
# What tests need is made ready side by side.
MAKEFLAGS += --jobs=2
# The locked versions, each file by its digest. Where they do not fit (another Python or machine, a
# mirror that pip's own configuration alone names) pip takes the newest that pyproject.toml allows.
uv = $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
install = f() { $(uv) --require-hashes -r "locks/$$1.txt" && $(uv) --no-deps --editable . || \
  { echo "the locked versions do not fit here, pip takes the newest" >&2; \
    $(BIN)/python -m pip install --quiet --editable "$$2"; }; }; f

.PHONY: demo demo-retrain test test-fast faults check docs sbom release-check bench worlds setup setup-test kafka helm clean

demo: $(VENV)/.run $(if $(findstring --web,$(ARGS)),$(VENV)/.web) ## simulate a site and track its people
	$(BIN)/stgal-stream demo $(ARGS)

demo-retrain: $(VENV)/.test ## and then retrains on what it has seen, and tracks again
	$(BIN)/stgal-stream demo --retrain $(ARGS)

test: $(VENV)/.test kafka check docs release-check ## all tests, a file a core, with a real Kafka broker
	KAFKA_TEST_BROKER=$$(tools/kafka-start) KAFKA_TEST_REQUIRED=1 OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
	  $(ARGS); status=$$?; tools/kafka-stop; exit $$status

test-fast: $(VENV)/.test ## without a broker and without training: three minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal \
	  -m "not kafka and not training and not slow" $(ARGS)

faults: $(VENV)/.test kafka ## only tests that break something under a running daemon; KILLS=1000 for long
	KAFKA_TEST_BROKER=$$(tools/kafka-start) KAFKA_TEST_REQUIRED=1 OMP_NUM_THREADS=1 \
	  $(if $(KILLS),TEST_KILLS=$(KILLS)) $(BIN)/python -m pytest --numprocesses $(WORKERS) \
	  --dist loadfile -m fault $(ARGS); status=$$?; tools/kafka-stop; exit $$status

sbom: $(VENV)/.test ## what an installation is made of, as CycloneDX, into build/sbom
	mkdir -p build/sbom
	for lock in run web gpu train; do $(BIN)/cyclonedx-py requirements --output-reproducible \
	  --output-file build/sbom/$$lock.json locks/$$lock.txt; done

docs: $(VENV)/.test ## the documentation, with strict links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release-check: $(VENV)/.test ## wheel and sdist, each installed in a clean environment
	tools/release-check $(BIN)/python

check: $(VENV)/.test ## lint, format, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --scripts-are-modules $(wildcard tools/*.py) tools/bench tools/digest_outputs tools/draw_concepts tools/fuzz tools/soak tools/worlds
	$(BIN)/lint-imports --no-cache

worlds: $(VENV)/.test ## simulated sites that nobody tuned for, beside an upper bound: a quarter of an hour
	$(BIN)/python tools/worlds $(ARGS)

bench: $(VENV)/.test kafka ## speed against the parts' own limits; writes docs/performance.md
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	export KAFKA_TEST_BROKER=$$(tools/kafka-start); \
	  $(BIN)/python tools/bench --keep $(ARGS) && $(BIN)/python tools/measure_formats.py; \
	  status=$$?; tools/kafka-stop; exit $$status

setup: $(VENV)/.run
setup-test: $(VENV)/.test kafka

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv

$(VENV)/.run: pyproject.toml locks/run.txt | $(VENV)/bin/python
	@echo "setting up (packages for running, a minute or so) …"
	$(install) run .
	touch $@

$(VENV)/.test: pyproject.toml locks/test.txt | $(VENV)/bin/python
	@echo "setting up (packages for tests and training, torch among them: some minutes) …"
	$(install) test '.[train,test,docs,web]'
	tools/web-setup $(BIN)
	touch $@ $(VENV)/.web $(VENV)/.run

$(VENV)/.web: pyproject.toml locks/web.txt | $(VENV)/.run
	@echo "setting up (the live page) …"
	$(install) web '.[web]'
	command -v npm >/dev/null || $(uv) --require-hashes -r locks/build.txt
	tools/web-setup $(BIN)
	touch $@

helm: ## builds Helm by Go, five minutes once: without it the chart's tests skip
	GOBIN=$${HOME}/go/bin go install helm.sh/helm/v4/cmd/helm@v4.3.1

kafka: ## Apache Kafka's own jars, a JDK, Maven, and the programs that tests use, where missing
	tools/kafka-setup
	tools/servers-setup

clean:
	tools/kafka-stop
	rm -rf $(VENV) build *.egg-info

# The developer's entry point; `make help` lists the targets. Anything longer than a line is Python.

# Any Python that runs starts the set-up; bootstrap/interpreter.py finds the one to build from.
PYTHON = $(shell for p in python3 python3.12 python3.11; do $$p -S -c '' 2>&- && echo $$p && break; done)
SETUP = @$(or $(PYTHON),$(error no python3 that runs was found; fix: apt-get install python3 python3-venv)) -m bootstrap
BIN = .venv/bin
JOB ?= jobs/demo.yaml
VARIANT ?= cpu

ifdef OFFLINE  # pip asks no index, in the set-up and in the image
export PIP_NO_INDEX = 1
export PIP_FIND_LINKS := wheelhouse $(PIP_FIND_LINKS)
endif

.DEFAULT_GOAL = help
.PHONY: help setup setup-dev lock lock-check format lint types test test-docker test-faults check check-env image image-repro image-verify-real push wheelhouse up down plan train clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## create or update .venv from the locks (TRAINBOX_LOCK=cpu|cu130|cli chooses one)
	$(SETUP) setup

setup-dev:
	$(SETUP) setup --dev

lock: setup-dev  ## resolve locks/*.in into locks/*.lock (ARGS=--upgrade for newer versions)
	@$(BIN)/python -m bootstrap lock -- $(ARGS)

lock-check: setup-dev  ## fail where a lock does not follow from its input
	@$(BIN)/python -m bootstrap lock-check

format: setup-dev  ## format the code
	@$(BIN)/ruff format .

lint: setup-dev  ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup-dev  ## check types
	@$(BIN)/mypy

# A file's tests share servers and processes: they stay together.
ON_ALL_CORES = --numprocesses logical --maxprocesses 4 --dist loadfile
test: setup-dev  ## run the tests (TESTS=file or TESTS=pattern for some)
	@$(BIN)/python -m pytest $(if $(wildcard $(firstword $(subst ::, ,$(TESTS)))),$(TESTS),$(if $(TESTS),-k "$(TESTS)",$(ON_ALL_CORES)))

test-docker: setup-dev  ## run the tests that need a Docker engine; builds the image
	@TRAINBOX_TEST_VARIANT=$(VARIANT) $(BIN)/python -m pytest -m docker $(if $(TESTS),-k "$(TESTS)")

test-faults: setup-dev  ## kill, starve and damage runs; for hours with ARGS="--kills 200 --seed 1 --damage 0.3"
	@OMP_NUM_THREADS=1 $(BIN)/python -m $(if $(ARGS),tests.faults $(ARGS),pytest -m faults)

check: lint types test  ## what CI runs: lint, types, test

check-env: setup  ## say which layer of this machine's stack is broken, and why
	@$(BIN)/env-check $(ARGS)

image: setup  ## build the image that runs train in: VARIANT=cpu|cu130|cu128|cu126 (OFFLINE=1: from wheelhouse/)
	@$(if $(OFFLINE),$(BIN)/python -m bootstrap wheelhouse --check $(VARIANT) && )$(BIN)/trainbox image build $(VARIANT)$(if $(OFFLINE), --offline) $(ARGS)

image-repro: setup  ## build the image twice without a cache, name every file that differs: VARIANT=cpu
	@$(BIN)/trainbox image repro $(VARIANT) $(ARGS)

image-verify-real: setup  ## the same on the published base, where a registry can be reached
	@$(BIN)/trainbox image repro $(VARIANT) --real-base $(ARGS)

push: setup  ## publish images: IMAGE=registry/name VARIANTS="cpu cu128"
	@$(BIN)/trainbox image push $(IMAGE) $(VARIANTS) $(ARGS)

wheelhouse: setup  ## bring the wheels of an image into wheelhouse/, to build it without a network: VARIANT=cpu
	@$(BIN)/python -m bootstrap wheelhouse $(VARIANT)

up: setup  ## start the MLflow server
	@$(BIN)/trainbox up $(ARGS)

down: setup  ## stop the MLflow server
	@$(BIN)/trainbox down $(ARGS)

plan: setup  ## show what a job would do: JOB=jobs/demo.yaml
	@$(BIN)/trainbox plan $(JOB) $(ARGS)

train: setup  ## run a job: JOB=jobs/demo.yaml BACKEND=docker|host ARGS="--set train.max_steps=20"
	@$(BIN)/trainbox train $(JOB)$(if $(BACKEND), --backend $(BACKEND)) $(ARGS)

clean:  ## remove .venv and all caches; runs/ stays
	@rm -rf .venv .venv.old .venv.lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

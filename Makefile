# `make` alone prints the targets. They install what they need: nothing has to be there but
# make, git and, for containers, Docker (which root on Debian gets from here, too).

.DEFAULT_GOAL := help
SHELL := /bin/bash

# Settings go to the environment as they are: make up JOB=images JOB_ARGS="start=URL"

PYTHON_IN_VENV = .venv/bin/python

.PHONY: help up down logs client join key ship fetch demo-images test test-unit test-local test-integration \
        test-crawl test-hosts local bench bench-brief chaos lint format engine venv lock clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

up: engine ## start master and eight workers, run ten squares, say what to try next
	@scripts/up.sh

down: ## stop them; the volumes with the queue, the key and the files stay
	@docker compose down

logs: ## follow the log of master and workers
	@docker compose logs --follow

client: ## print the lines that make the tutorial's script a client of this master
	@scripts/client.sh

join: ## print what adds another host's workers to this master; HOSTS="b c" sends the key by ssh
	@HOSTS="$(HOSTS)" ONE_LINE="$(ONE_LINE)" scripts/join.sh

key: ## print the authkey of this master, for who has to type it on another host
	@scripts/key.sh

ship: ## copy the worker's image to other hosts over ssh: HOSTS="b c"
	@HOSTS="$(HOSTS)" scripts/ship.sh

fetch: ## copy the jobs' files into ./shared, with HOSTS="b c" also those of other hosts, over ssh
	@HOSTS="$(HOSTS)" scripts/fetch.sh

demo-images: engine ## crawl a small site that runs here, and say where its contact sheet is
	@scripts/demo.sh

test: venv ## all tests on one host; those in containers only where there is an engine (CI: must be)
	@scripts/test.sh tests/unit tests/simulation tests/integration tests/docker

test-unit: venv ## tests of single modules and simulations: no network, no processes
	@scripts/test.sh tests/unit tests/simulation

test-local: venv ## all that needs no engine
	@scripts/test.sh tests/unit tests/simulation tests/integration

test-integration: venv ## the compose file with real containers, through pytest-docker
	@scripts/test.sh tests/docker

test-crawl: venv ## the crawler: on a real site, with kills, on a hostile one, and the demo
	@scripts/test.sh tests/crawl

test-hosts: venv ## several hosts: three Docker engines on one machine, in network namespaces
	@scripts/test.sh tests/hosts

local: venv ## ten squares without containers: master and worker as plain processes
	@$(PYTHON_IN_VENV) -m master run $(or $(JOB),square) $(if $(JOB),$(JOB_ARGS),$(or $(JOB_ARGS),count=10))

chaos: venv ## random faults on plain processes, then every promise is checked: SECONDS=60 SEED=1
	@$(PYTHON_IN_VENV) -m tests.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

bench: venv ## measure on this machine, and judge the bounds; NAMES="idle keys"
	@$(PYTHON_IN_VENV) -m bench $(NAMES)

bench-brief: venv ## every benchmark whole, for a second or two each: can it run? judges nothing
	@BENCH_BRIEF=1 $(PYTHON_IN_VENV) -m bench $(NAMES)

lint: venv ## ruff and mypy, as CI runs them
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: venv ## let ruff put the code into shape
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

engine: ## make Docker, docker compose and the base image ready, if they are not
	@scripts/engine.sh

venv: ## make .venv from the lock, if it is not there
	@scripts/venv.sh

lock: venv ## write both lock files anew from pyproject.toml
	@scripts/lock.sh

clean: ## remove .venv and caches; containers and the queue stay (docker compose down --volumes)
	rm -rf .venv .cache build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

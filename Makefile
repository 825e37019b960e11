# `make` alone prints the targets. A target installs what it needs, so a machine has to have only
# make and git, and Docker for the containers. For root on Debian, make installs Docker too.

.DEFAULT_GOAL := help
SHELL := /bin/bash

# A setting on the command line reaches the commands as a variable: make up JOB=images JOB_ARGS="..."

PYTHON_IN_VENV = .venv/bin/python

.PHONY: help up down logs client dashboard join key ship fetch demo-images demo-logs demo-mail test test-unit test-local test-integration \
        test-crawl test-logs test-django test-hosts test-browser pictures test-metrics local bench bench-brief bench-peers chaos takeovers lint format engine postgres-image venv lock clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

up: engine ## start a master and eight workers, run ten squares, say what to try next
	@scripts/up.sh

down: ## stop master and workers; the volumes with the queue, the key and the files stay
	@docker compose down

logs: ## follow the log of master and workers
	@docker compose logs --follow

client: ## print the lines that turn the tutorial's script into a client of this master
	@scripts/client.sh

dashboard: ## print the link to the pages of this master: READ=1 for looking only
	@READ="$(READ)" scripts/dashboard.sh

join: ## print the commands that add another host's workers; HOSTS="b c" sends the key over ssh
	@HOSTS="$(HOSTS)" ONE_LINE="$(ONE_LINE)" scripts/join.sh

key: ## print this master's authkey, to be typed on another host
	@scripts/key.sh

ship: ## copy the worker image to other hosts over ssh: HOSTS="b c"; PARTS="worker master" copies others
	@HOSTS="$(HOSTS)" PARTS="$(PARTS)" scripts/ship.sh

fetch: ## copy the files of jobs into ./shared; HOSTS="b c" adds those of other hosts, over ssh
	@HOSTS="$(HOSTS)" scripts/fetch.sh

demo-images: engine ## crawl a small site on this machine, say where its contact sheet is
	@scripts/demo.sh images

demo-logs: engine ## count logs that are made on this machine, say where the report is
	@scripts/demo.sh logs

demo-mail: engine ## send a letter to a small list, to a mail server on this machine, say where the report is
	@scripts/demo.sh mail

test: venv ## run all tests of one host; without a Docker engine, leave out those in containers
	@scripts/test.sh tests/unit tests/simulation tests/integration tests/docker

test-unit: venv ## run the tests of single modules and the simulations: no network, no processes
	@scripts/test.sh tests/unit tests/simulation

test-local: venv ## run all tests that need no Docker engine
	@scripts/test.sh tests/unit tests/simulation tests/integration

test-integration: venv ## run the tests of the compose file, with real containers
	@scripts/test.sh tests/docker

test-crawl: venv ## run the tests of the crawler, on a real site and on a hostile one
	@scripts/test.sh tests/crawl

test-logs: venv ## count a gigabyte of logs beside awk, workers killed meanwhile: MEGABYTES=1000
	@LOGS_MEGABYTES=$(or $(MEGABYTES),1000) scripts/test.sh tests/integration/test_logs_and_awk.py

test-django: venv ## run the tests of the backend for Django's tasks, and Django's own, on Python 3.12 or later
	@scripts/django.sh

test-hosts: venv ## run the tests of several hosts: three Docker engines, in network namespaces
	@scripts/test.sh tests/hosts

test-metrics: venv ## run the tests of metrics, alerts and the dashboard, with a real Prometheus
	@scripts/test.sh tests/metrics

test-browser: venv ## run the tests of the pages that people look at, in Chromium; pictures of them are in .cache/screenshots
	@scripts/test.sh tests/browser

PICTURES = overview run-failed failures task retry page-workers page-schedules page-submit
pictures: test-browser ## take the pictures of docs/dashboard.md again
	@for name in $(PICTURES); do cp .cache/screenshots/$$name-light-1280.png docs/pictures/$$name.png; done

local: venv ## run ten squares without containers: master and worker as plain processes
	@$(PYTHON_IN_VENV) -m master run $(or $(JOB),square) $(if $(JOB),$(JOB_ARGS),$(or $(JOB_ARGS),count=10))

chaos: venv ## inject random faults into plain processes, check every promise: SECONDS=60 SEED=1
	@$(PYTHON_IN_VENV) -m tests.chaos --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1)

takeovers: venv ## let masters on three hosts fail at random, measure who goes on when: FAULTS=100 TASKS=50000 SEED=1
	@scripts/postgres.sh
	@$(PYTHON_IN_VENV) -m tests.takeovers --faults $(or $(FAULTS),100) --tasks $(or $(TASKS),50000) --seed $(or $(SEED),1)

bench: venv ## measure on this machine, compare with the bounds: NAMES="idle keys"
	-@scripts/postgres.sh
	@$(PYTHON_IN_VENV) -m bench $(NAMES)

bench-brief: venv ## run every benchmark for a second or two, to see that it runs; compare nothing
	-@scripts/postgres.sh
	@BENCH_BRIEF=1 $(PYTHON_IN_VENV) -m bench $(NAMES)
	@scripts/peers.sh redis
	@$(if $(NAMES),,BENCH_BRIEF=1 $(PYTHON_IN_VENV) -m bench.peers)

bench-peers: venv ## measure other queues on the same work, on Debian as root with their servers: NAMES="huey rq"
	@scripts/peers.sh
	@$(PYTHON_IN_VENV) -m bench.peers $(NAMES)

figures: venv ## write docs/figures.md from the last `make bench` and `make bench-peers`
	@$(PYTHON_IN_VENV) -m bench.report

lint: venv ## run ruff and mypy, as CI does
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format: venv ## let ruff format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

engine: ## install and start what is missing of Docker, docker compose and the base image
	@scripts/engine.sh

postgres-image: engine ## pull the image of PostgreSQL for deploy/postgres.yml, or make a stand-in for it; print its name
	@scripts/postgres-image.sh

venv: ## make .venv from the lock, if it is missing or older than the lock
	@scripts/venv.sh

lock: venv ## write the lock files anew from the ranges in pyproject.toml
	@scripts/lock.sh

clean: ## remove .venv and caches; containers and volumes stay (docker compose down --volumes)
	rm -rf .venv .cache build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Spotyard's commands. Each installs what it needs first (scripts/bootstrap.sh does nothing when all is there).
SHELL := /bin/bash
PYTHON := .venv/bin/python
PORT ?= 8000
DETACH ?=
ARGS ?=
GPU_PYTHON ?= python3
SEEDS ?= 1..200
STEPS ?= 500
N ?= 200
CLIENTS ?= 0
CHURN ?= 1
SERVER ?=

# Some machines are set up to keep no bytecode: every process would compile Django anew, for three seconds and more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-stop demo-reset test simulate check format dev-services dev-services-stop bench-rent \
	bench-auction bench-billing bench-dlperf bench-relay fleet gpu-check screenshot

help:
	@echo 'make demo          the whole marketplace on this machine (PORT=8000, DETACH=1 to return when it is ready)'
	@echo 'make demo-stop     end it; its data stays'
	@echo 'make demo-reset    end it and forget its data'
	@echo 'make test          every test (ARGS="tests/billing -k meter" for some)'
	@echo 'make simulate      stories of the whole market under a virtual clock (SEEDS=17 or SEEDS=1..2000, STEPS=500)'
	@echo 'make check         format, lint, types, import contracts, migrations, templates, shell scripts'
	@echo 'make format        bring the code into the format that make check wants'
	@echo 'make bench-rent    from the click to the running container, against a bare docker run (ARGS="--pairs 20")'
	@echo 'make bench-auction the auction against sorting, one batch and one row update (ARGS="--sizes 1000 10000")'
	@echo 'make bench-billing the ledger against pgbench, plain reads and one at a time (ARGS="--only settling")'
	@echo 'make bench-dlperf  what checking an answer to a challenge costs, against computing it'
	@echo 'make bench-relay   scp through the relay against scp to the machine itself (ARGS="--repeats 3")'
	@echo 'make gpu-check     benchmark program and challenge on a CUDA device, compared with the CPU bit for bit'
	@echo 'make fleet         N=200 simulated machines, CLIENTS=20 clients, CHURN=10 times as busy, on the demo (or SERVER=URL)'
	@echo 'make screenshot    docs/search.png, from the running demo'
	@echo 'make dev-services  PostgreSQL and Valkey in the background: eval "$$(make -s dev-services)"'

demo:
	@exec scripts/demo.sh start --port '$(PORT)' $(if $(DETACH),--detach)

demo-stop:
	@exec scripts/demo.sh stop

demo-reset:
	@exec scripts/demo.sh reset

test:
	@scripts/bootstrap.sh --engine --tests --torch
	@exec $(PYTHON) -m scripts.run_tests $(ARGS)

simulate:
	@scripts/bootstrap.sh
	@SIMULATION_SEEDS='$(SEEDS)' SIMULATION_STEPS='$(STEPS)' SIMULATION_CHUNKS=$$(nproc) $(PYTHON) -m pytest -n auto tests/simulation $(ARGS)

check:
	@scripts/bootstrap.sh --lint
	@exec $(PYTHON) -m scripts.check

format:
	@scripts/bootstrap.sh
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

dev-services:
	@scripts/bootstrap.sh >&2
	@exec scripts/devservices

dev-services-stop:
	@exec scripts/devservices stop

fleet:
	@scripts/bootstrap.sh
	@exec $(PYTHON) -m scripts.fleet --machines '$(N)' --clients '$(CLIENTS)' --churn '$(CHURN)' $(if $(SERVER),--server '$(SERVER)') $(ARGS)

bench-rent:
	@scripts/bootstrap.sh --engine --tests
	@exec $(PYTHON) -m tests.benchmarks.rent $(ARGS)

bench-auction:
	@scripts/bootstrap.sh --pgbench
	@exec $(PYTHON) -m tests.benchmarks.auction $(ARGS)

bench-billing:
	@scripts/bootstrap.sh --pgbench
	@exec $(PYTHON) -m tests.benchmarks.billing $(ARGS)

bench-dlperf:
	@scripts/bootstrap.sh --torch
	@exec $(PYTHON) -m tests.benchmarks.dlperf $(ARGS)

bench-relay:
	@scripts/bootstrap.sh --engine --tests
	@exec $(PYTHON) -m tests.benchmarks.relay $(ARGS)

gpu-check:
	@exec $(GPU_PYTHON) -m scripts.gpu_check --record docs/gpu_check.json

screenshot:
	@scripts/bootstrap.sh --tests
	@exec $(PYTHON) -m scripts.screenshot

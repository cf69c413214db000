# Everything that one does here. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON_BIN := .venv/bin
UV ?= uv

# A process per core, four at most: each that needs a broker starts its own. A file's tests share what they start.
PYTEST := $(PYTHON_BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What `make bench` runs, in this order.
BENCHMARKS := throughput manifest_signing signer latency chaos tamper cutover verifier_memory em_engines em_agreement tls vqc threats

LOCK := pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help setup liboqs demo test lint bench nightly lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## install what is missing: Debian and Python packages, Kafka, the PKCS#11 token (quick when it is done)
	@deploy/setup/setup.sh

liboqs: ## build the second implementation of ML-DSA that `quantumai verify --cross-check` asks (cargo, cmake, ninja)
	@deploy/liboqs/build.sh

demo: setup ## run the example jobs from request to signed, verified result, then stop
	@$(PYTHON_BIN)/quantumai demo

test: setup ## run all tests, on a real broker
	@$(PYTEST) -m "not slow"

lint: setup ## check format, rules, types and which room imports which
	@$(PYTHON_BIN)/ruff format --check .
	@$(PYTHON_BIN)/ruff check .
	@$(PYTHON_BIN)/mypy
	@$(PYTHON_BIN)/lint-imports

bench: setup ## run the benchmarks, each in one run with what it is compared with
	@for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; $(PYTHON_BIN)/python -m "benchmarks.$$benchmark"; done

nightly: setup ## run all tests, the slow ones too; measure error mitigation and compare with the nights before
	@$(PYTEST) --hypothesis-profile explore
	@$(PYTHON_BIN)/quantumai em nightly

lock: ## pin the Python packages anew (needs uv)
	@$(UV) $(LOCK) --group dev -o requirements-dev.lock
	@$(UV) $(LOCK) -c requirements-dev.lock -o requirements.lock

clean: ## delete what setup and the tests made; .quantumai, the platform's data, stays
	@rm -rf build .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

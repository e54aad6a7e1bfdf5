# The project's checks and tools: `make` lists them. Each is what CONTRIBUTING.md says it is.
PYTHON = python3
BIN = .venv/bin
.PHONY: help setup lint test slow bench tables examples vectors

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: ## an environment with the package as it is in the checkout, and what tests need
	$(PYTHON) -m venv .venv && $(BIN)/pip install -q -e '.[test]'

lint: ## the code's form and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: ## the tests that take minutes
	$(BIN)/pytest -n auto

slow: ## those that take longer, or start real brokers; all of them with the extras spark and browser
	$(BIN)/pytest -m slow -n auto --ignore tests/bench

bench: ## those that measure speed, one at a time
	$(BIN)/pytest -m slow tests/bench

tables: ## the tables of README and docs/, anew from the code
	$(BIN)/python -m tests.readme_tables

examples: ## the output of the examples of README and docs/, anew where it has changed
	$(BIN)/python -m tests.readme_examples

vectors: ## fixtures/vectors, anew by Kafka's own classes
	$(BIN)/python -m tests.kafka_vectors
	$(BIN)/python -m tests.older_shapes
	$(BIN)/python -m tests.opaque_vectors

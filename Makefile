# `make` lists the commands. All of them but `clean` see to it that .venv is there and up to date first.

MAKEFLAGS += --no-print-directory
UV ?= uv
LOCK := requirements/dev.txt
STAMP := .venv/.stamp
PROJECTS := $(wildcard providers/*/pyproject.toml examples/*/pyproject.toml)

# The stamp holds the directory it was made for: a copied or moved checkout is set up anew, and never runs another's code.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-wheels check coverage contract reference bench record wheels fuzz hostile lock clean

help: ## list the commands
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv, with everything a developer needs
	@:

$(STAMP): $(LOCK) pyproject.toml $(PROJECTS) scripts/setup.sh
	@bash scripts/setup.sh

demo: $(STAMP) ## the whole life of a charge, in the terminal, against a sandbox (PROVIDER=stripe: another one's)
	@.venv/bin/payments demo $(if $(PROVIDER),--provider $(PROVIDER))

test: $(STAMP) ## the checks, and the whole suite in parallel
	@bash scripts/setup.sh browser
	@.venv/bin/python scripts/test.py

test-wheels: $(STAMP) ## what depends on the Python and on the wheels, on every Python found
	@.venv/bin/python scripts/test.py wheels

check: $(STAMP) ## ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

coverage: $(STAMP) ## the suite, and which lines it runs: a report, not a gate
	@rm -f .build/coverage*
	-@.venv/bin/coverage run -m pytest -q -n 4 --dist worksteal
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

contract: $(STAMP) ## the contract, run on the fake provider; BREAKAGE=FILE.py:CLASS puts a class of yours in its place
	@COLUMNS=200 .venv/bin/python -m pytest --tb=short -q tests/testing/test_contract_fake.py $(if $(BREAKAGE),--contract-provider "$(BREAKAGE)")

reference: $(STAMP) ## write docs/reference.md from the docstrings
	@.venv/bin/python scripts/reference.py

bench: $(STAMP) ## what the core costs, as ratios
	@.venv/bin/python -m benchmarks

record: $(STAMP) ## record the cassettes again, from the sandboxes
	@.venv/bin/payments record alipayhk
	@.venv/bin/payments record stripe
	@.venv/bin/python scripts/record_localstripe.py
	@.venv/bin/payments record lantern --output examples/payments-lantern/cassettes
	@.venv/bin/python tests/examples/test_shop.py

wheels: $(STAMP) ## build the wheels into .build/wheels
	@rm -rf .build/wheels
	@.venv/bin/python -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir .build/wheels . $(dir $(PROJECTS))
	@ls .build/wheels

fuzz: $(STAMP) ## 200,000 mutated notifications, none of which may be believed
	@.venv/bin/python scripts/fuzz_webhooks.py

hostile: $(STAMP) ## 50 hostile answers of each kind, with what each cost in time and memory
	@.venv/bin/python scripts/hostile_answers.py

lock: $(STAMP) ## choose the versions in requirements/dev.txt again (needs uv)
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--output-file $(LOCK) pyproject.toml requirements/dev.in

clean: ## remove everything that was made
	rm -rf .venv .build build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

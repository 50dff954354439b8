# Everything that this repository needs beyond Python 3.11 or newer (with `venv`) and make, it brings itself.
# `make` alone says what there is. Times are those of two cores.

PYTHON ?= python3
UV_VERSION := 0.13.9

VENV := .venv
PY := $(VENV)/bin/python
UV := .cache/uv/bin/uv
READY := $(VENV)/.ready
PYTEST := $(PY) -m pytest
# Tests with real parts wait more than they compute: three files at a time; those in memory compute: two.
# make WORKERS=0 runs one after the other, for a debugger.
WORKERS ?= 3
UNIT_WORKERS := $(if $(filter 0,$(WORKERS)),0,2)
PARALLEL := -n $(WORKERS) --dist loadfile

# $(call tier,folder,options). With AGAIN=1, which .ci/run says, what failed among real parts is run once more, alone: one
# test in thousands that met a bad moment does not hold back the rest. It is named as unsteady at the end, and is a bug.
define tier
@$(PYTEST) -q $(if $(AGAIN),--cache-clear) $(1) $(2) $(COVERAGE) $(ARGS) || { code=$$?; [ -n "$(AGAIN)" ] && [ $$code -eq 1 ] || exit $$code; \
  printf '\n== Once more, alone: what failed in %s\n' '$(1)'; mkdir -p .cache; \
  $(PY) -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")' >.cache/failed-once && \
  $(PYTEST) -v $(1) --last-failed --last-failed-no-failures=none $(COVERAGE) $(ARGS) && cat .cache/failed-once >>.cache/unsteady; }
endef

# What a shell may have set for another project does not reach this one.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONHOME
unexport PYTHONPATH
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup up down status demo manifests bench test coverage floor test-unit test-contract test-integration test-e2e \
        test-long test-kafka test-cluster test-images not-run lint format lock clean distclean

say = @printf '\n== %s\n'

help: ## this text
	@printf 'Roost. Start with `make demo`.\n\n'
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; \
	  do printf '%-24s %s\n' "$$target" "$$text"; done

setup: $(READY) ## install what is pinned in requirements.lock into .venv (about a minute, then at once)

demo: $(READY) ## airlines sign up, are trained, checked and served by several replicas (about four minutes)
	$(say) 'Demo: the whole stack, three airlines, a retraining under load, a rollback (about four minutes)'
	@$(PY) -m roost demo

up: $(READY) ## start the whole stack here, in the background, and wait until it is ready (about a minute)
	$(say) 'Stack: start everything and wait until it is ready (about a minute); make down stops it'
	@$(PY) -m roost up --wait

down: $(READY) ## stop it; no process and no port stays behind (about ten seconds)
	@$(PY) -m roost down

status: $(READY) ## what runs, and where
	@$(PY) -m roost status

# Yours stand beside those that come with it: manifests/overlays/NAME.
OVERLAYS := $(sort $(notdir $(patsubst %/,%,$(wildcard manifests/overlays/*/))))

manifests: $(READY) ## what an overlay would apply, to standard output: make manifests OVERLAY=gcp
	@[ -n '$(filter $(OVERLAYS),$(OVERLAY))' ] || { \
	  printf 'There is no overlay "%s". There are: %s. With one of them: make manifests OVERLAY=local\n' '$(OVERLAY)' '$(OVERLAYS)' >&2; exit 2; }
	@$(VENV)/bin/kubectl kustomize manifests/overlays/$(OVERLAY)
	@! $(VENV)/bin/kubectl kustomize manifests/overlays/$(OVERLAY) | grep -q 'PROJECT\|REGION-docker' || \
	  printf 'Not ready to apply: PROJECT and REGION stand there still; put yours into manifests/overlays/%s\n' '$(OVERLAY)' >&2

bench: $(READY) ## benchmarks B1, B2, B9 and B10, as tables (about ten minutes)
	$(say) 'Bench (about ten minutes)'
	@$(PY) -m bench

lint: $(READY) ## format, rules, types, imports, generated documents (about 30 seconds)
	$(say) 'Lint 1/5: format (a second)'
	@$(VENV)/bin/ruff format --check .
	$(say) 'Lint 2/5: rules (a second)'
	@$(VENV)/bin/ruff check .
	$(say) 'Lint 3/5: types (20 seconds, then two)'
	@$(PY) -m mypy
	$(say) 'Lint 4/5: who may import whom (five seconds)'
	@$(VENV)/bin/lint-imports
	$(say) 'Lint 5/5: generated files are as committed: schemas, metrics, dashboards (three seconds)'
	@$(PY) -m roost.contract_docs --check
	@$(PY) -m roost.metrics_docs --check
	@$(PY) -m roost.dashboards --check

format: $(READY) ## let ruff format and mend what it can
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

# A tier whose suite is not there yet is said to be skipped; pytest's code 5 means that nothing was collected.
test: $(READY) ## all tiers that need nothing but this machine (about 16 minutes)
	@rm -f .coverage
	@$(MAKE) --no-print-directory test-unit test-contract COVERAGE='--cov --cov-append --cov-report='
	@$(MAKE) --no-print-directory floor
	@$(MAKE) --no-print-directory test-integration test-e2e
	@$(MAKE) --no-print-directory not-run

not-run:
	@printf '\nNot run by this: make test-long; make test-kafka%s; make test-cluster%s\n' \
	  "$$(command -v mvn >/dev/null || printf ' (needs Java 17 and Maven, which are not here)')" \
	  "$$(command -v go >/dev/null || printf ' (needs Go, which is not here)')"

# Not in `make test`: most of what later tiers run is processes of their own, which it does not see, and it costs time.
coverage: $(READY) ## branches of everything that the tests reach in their own process (20 minutes)
	@rm -f .coverage
	@$(MAKE) --no-print-directory test-unit test-contract test-integration test-long test-e2e COVERAGE='--cov --cov-append --cov-report='
	$(say) 'Coverage of all tiers, branches counted'
	@$(PY) -m coverage report --skip-covered --skip-empty

# What decides which model answers is tested branch by branch, by the tiers that need no stack. No test of a later tier
# makes up for one that is missing here.
FLOOR := roost/contracts/*,deployer/domain/*,deployer/checks/*,deployer/rollout/*,deployer/promotion/*

floor:
	$(say) 'Coverage so far of what decides: every branch'
	@$(PY) -m coverage report --include='$(FLOOR)' --fail-under=100 --skip-covered --show-missing

test-unit: $(READY) ## in memory, no network, no TensorFlow (a minute and a half)
	$(say) 'Tests 1/4: unit (a minute and a half)'
	@$(PYTEST) -q tests/unit -n $(UNIT_WORKERS) --dist loadfile $(COVERAGE) $(ARGS)

test-contract: $(READY) ## each port, on its fake and on the real part (one minute)
	$(say) 'Tests 2/4: contract, on the real broker, object store and PostgreSQL (one minute)'
	$(call tier,tests/contract,$(PARALLEL))

test-integration: $(READY) ## real parts: training, DAGs, nodes, gateway, deployer, console (about eight minutes)
	$(say) 'Tests 3/4: integration (about eight minutes)'
	$(call tier,tests/integration,$(PARALLEL) -m 'not long' --durations=12)

test-e2e: $(READY) ## the whole stack: an event in, an answer out (about five minutes)
	$(say) 'Tests 4/4: end to end (about five minutes)'
	$(call tier,tests/e2e,--durations=12)

# What `make test` leaves out to stay within a quarter of an hour.
test-long: $(READY) ## real parts again: what is rare and takes over twenty seconds each (about four minutes)
	$(say) 'Tests: what is rare and takes long (about four minutes)'
	$(call tier,tests/integration,$(PARALLEL) -m long --durations=12)

# What does not care which broker it runs on runs on the real one here (tests/brokers.py chooses it, and what shares brokers
# stays together, the longest first), beside what is about it alone.
KAFKA_SUITES := --bus=apache tests/e2e tests/kafka tests/contract/test_event_bus.py tests/integration/consumers
KAFKA_PARALLEL := -n $(if $(filter 0,$(WORKERS)),0,2) --no-loadscope-reorder

test-kafka: $(READY) ## tier 2: on Apache Kafka; needs Java 17, and Maven once (about seven minutes)
	$(say) 'Tests: Apache Kafka, one broker and three, with and without security (about seven minutes)'
	$(call tier,$(KAFKA_SUITES),$(KAFKA_PARALLEL) --durations=12)

test-cluster: $(READY) ## tier 2: on a Kubernetes control plane; needs Go and root (nine minutes, and nine once to build it)
	$(say) 'Tests: Kubernetes control plane (nine minutes; nine more to build it, once)'
	$(call tier,tests/cluster,--durations=6)

test-images: $(READY) ## each image's own steps in fresh environments, its entry point, its size (five minutes, gigabytes)
	$(say) 'Tests: images, without a container engine (five minutes; fetches TensorFlow several times)'
	@$(PY) docker/prove.py $(ARGS)

# The lock names versions and hashes, never an address: it works with any index or mirror.
lock: $(UV) ## resolve pyproject.toml into requirements.lock (ten seconds)
	$(say) 'Lock: resolve every group for every platform (ten seconds)'
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --all-extras --group dev pyproject.toml -o requirements.lock
	@if grep -nE '^ *-|://|@ ' requirements.lock | grep -vE '^[0-9]+: +--hash=sha256:'; then \
	  echo 'requirements.lock carries an address: see the lines above'; exit 1; fi
	@grep -c '==' requirements.lock | xargs printf 'requirements.lock: %s packages, no addresses\n'

clean: ## remove what tests and tools leave; .venv and the stack's data stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist build
	@find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.cache/*' -prune -exec rm -rf {} +

distclean: clean ## also stop the stack, and remove its data, .venv and caches
	@if [ -x $(PY) ] && [ -d .roost ]; then $(PY) -m roost down; fi
	@rm -rf .roost .venv .cache

$(READY): requirements.lock pyproject.toml $(UV)
	$(say) 'Set-up: install what requirements.lock pins into $(VENV) (about a minute; a few seconds when cached)'
	@[ -x $(PY) ] || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(PY) requirements.lock
	@$(UV) pip install --quiet --python $(PY) --no-build-isolation --no-deps --editable .
	@$(VENV)/bin/roost --help >/dev/null
	@touch $@
	@printf 'ready: . %s/bin/activate, or %s/bin/roost\n' '$(VENV)' '$(VENV)'

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo 'There is no $(PYTHON): install Python 3.11 or newer, or: make PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "$$($(PYTHON) --version) does not do: Roost needs Python 3.11, 3.12 or 3.13; with another one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo '$(PYTHON) has no venv module: on Debian and Ubuntu, apt-get install python3-venv'; exit 1; }
	$(say) 'Set-up: bring uv $(UV_VERSION) (a few seconds, once)'
	@$(PYTHON) -m venv .cache/uv
	@.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'

# Everything a user does with Nearline. `make` alone lists it; `make demo` needs nothing but Python 3.11.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The only folder Nearline writes to; each DATA has one of its own in it, so that worlds do not mix. Below of/, as a
# DATA may be called like a folder of the state's own, in which housekeeping deletes.
STATE := $(CURDIR)/.nearline
export NEARLINE_HOME ?= $(STATE)$(if $(DATA),/of/$(notdir $(abspath $(DATA))))

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.installed

# Where to install from: pip, or uv where you have it (make install INSTALLER=uv).
INSTALLER ?= pip
ifeq ($(INSTALLER),uv)
MAKE_VENV = uv venv --python "$$python" $(VENV)
INSTALL = uv pip install --compile-bytecode --python $(RUN)
else
MAKE_VENV = "$$python" -m venv $(VENV)
INSTALL = $(RUN) -m pip install --quiet --disable-pip-version-check
endif

# The peers of bench-quality have an environment of their own: Nearline depends on none of them.
PEERS ?= all
PEERS_VENV := .venv-peers
PEERS_RUN := $(PEERS_VENV)/bin/python
PEERS_LOCK := tests/benchmarks/quality/peers/requirements.txt
PEERS_READY := $(PEERS_VENV)/.installed
ifeq ($(INSTALLER),uv)
MAKE_PEERS_VENV = uv venv --python $(RUN) $(PEERS_VENV)
INSTALL_PEERS = uv pip install --python $(PEERS_RUN)
else
MAKE_PEERS_VENV = $(RUN) -m venv $(PEERS_VENV)
INSTALL_PEERS = $(PEERS_RUN) -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help install demo up down status clean migrate test chaos lint tune bench bench-encode bench-nearline bench-sql bench-quality bench-ablations bench-days bench-newest

help:  ## List these commands
	@echo "Nearline: a recommender in the Airflow, Spark, Postgres and MLflow you already have"
	@echo
	@while IFS= read -r line; do case $$line in [a-z]*:*"  ## "*) \
	  printf '  make %-13s %s\n' "$${line%%:*}" "$${line#*  ## }" ;; esac; done < Makefile

install: $(READY)  ## Make .venv and install what requirements.lock says (only when it changed)

$(READY): requirements.lock pyproject.toml
	@python=; for candidate in "$(PYTHON)" python3.11 python3; do \
	  if [ -n "$$candidate" ] && "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "error: expected Python 3.11, saw $$(python3 --version 2>&1). Fix: install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	[ -x $(RUN) ] || { echo "Making $(VENV) with $$python"; $(MAKE_VENV); }
	@# torch by itself and first: with others beside it, pip may choose a build that brings gigabytes of CUDA.
	@echo "Installing torch"
	@$(INSTALL) $(filter torch==%,$(file < requirements.lock))
	@# No dependencies: the lock has them all, and the Spark provider's pyspark-client would overwrite pyspark's files.
	@echo "Installing requirements.lock"
	@$(INSTALL) --no-deps -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# requirements.lock is made by: uv pip compile pyproject.toml --group dev --python-version 3.11 --no-emit-package
# pyspark-client -o requirements.lock; then look at the difference, `make install`, `make test`.

demo: $(READY)  ## The whole path on a built-in world, or on your data: make demo DATA=folder
	@$(RUN) jobs/demo.py $(if $(DATA),--data "$(DATA)")

up: $(READY)  ## Start Postgres, MLflow and Airflow on this machine
	@$(RUN) jobs/stack.py up

status: $(READY)  ## What runs, where, and how much memory it takes
	@$(RUN) jobs/stack.py status

down: $(READY)  ## Stop them
	@$(RUN) jobs/stack.py down

clean:  ## Stop them and remove all state (NEARLINE_HOME); .venv stays
	@for home in $(if $(DATA),,"$(STATE)"/of/* "$(STATE)"/*) "$(NEARLINE_HOME)"; do \
	  if [ -x $(RUN) ] && [ -f "$$home/this-is-nearline-state.txt" ]; then NEARLINE_HOME="$$home" $(RUN) jobs/stack.py clean; fi; done
	@for folder in "$(STATE)/of" "$(STATE)"; do if [ -d "$$folder" ]; then rmdir "$$folder" 2>/dev/null || true; fi; done

migrate: $(READY)  ## Deploy sql/ to Postgres
	@$(RUN) jobs/migrate.py

tune: $(READY)  ## Search hyperparameters on the newest daily run: make tune [TRIALS=20] [DATA=folder]
	@$(RUN) jobs/tune.py $(if $(TRIALS),--trials "$(TRIALS)")

test: $(READY)  ## All tests, or some: make test TESTS=tests/unit
	@$(RUN) -m pytest $(TESTS)

chaos: $(READY)  ## Random schedules of faults beside writers: make chaos [SCHEDULES=500] [SEED=n]
	@$(RUN) tests/chaos/run.py --schedules "$(or $(SCHEDULES),500)" $(if $(SEED),--seed "$(SEED)")

lint: $(READY)  ## Style and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

bench: $(READY)  ## Benchmarks, or one: make bench BENCH=recording
	@$(RUN) tests/benchmarks/run.py $(BENCH)

bench-encode: $(READY)  ## Encoding beside SentenceTransformer, and what its precision costs: make bench-encode [DATA=folder]
	@$(RUN) tests/benchmarks/run.py encode

bench-sql: $(READY)  ## What the SQL contract and publishing cost beside bare Postgres: make bench-sql [MINUTES=10] [SCALES=full]
	@$(if $(MINUTES),MINUTES="$(MINUTES)") $(if $(SCALES),SCALES="$(SCALES)") \
	  $(RUN) tests/benchmarks/run.py sql publish beside_publish

bench-nearline: $(READY)  ## Freshness, throughput and growth of the nearline path: make bench-nearline [MINUTES=10] [SCALES=full]
	@$(if $(MINUTES),MINUTES="$(MINUTES)") $(if $(SCALES),SCALES="$(SCALES)") \
	  $(RUN) tests/benchmarks/run.py recording next_query refresh event_to_vector airflow_lag

bench-quality: $(READY) $(if $(filter none,$(PEERS)),,$(PEERS_READY))  ## Quality beside peers: make bench-quality DATA=folder [PEERS=none] [PROTOCOL=loo] [SEEDS=8,9]
	@[ -n "$(DATA)" ] || { echo "error: expected a data set, saw none. Fix: make bench-quality DATA=folder" >&2; exit 1; }
	@$(RUN) tests/benchmarks/quality/run_quality.py --data "$(DATA)" --peers "$(PEERS)" --peers-python $(PEERS_RUN) \
	  --protocol "$(or $(PROTOCOL),successive)" $(if $(BUDGET),--budget "$(BUDGET)") $(if $(AGAIN),--again "$(AGAIN)") $(if $(SEEDS),--seeds "$(SEEDS)") \
	  --out "$(or $(OUT),$(STATE)/bench/quality/$(notdir $(patsubst %/,%,$(DATA)))/$(or $(PROTOCOL),successive))"

bench-days: $(READY)  ## What a warm start saves and costs, days in a row: make bench-days DATA=folder [DAYS=8]
	@[ -n "$(DATA)" ] || { echo "error: expected a data set, saw none. Fix: make bench-days DATA=folder" >&2; exit 1; }
	@$(RUN) tests/benchmarks/quality/days.py --data "$(DATA)" --days "$(or $(DAYS),8)" \
	  --out "$(STATE)/bench/quality/$(notdir $(patsubst %/,%,$(DATA)))/days.json"

bench-newest: $(READY)  ## What transitions up to the newest event bring, beside those up to the cut: make bench-newest DATA=folder
	@[ -n "$(DATA)" ] || { echo "error: expected a data set, saw none. Fix: make bench-newest DATA=folder" >&2; exit 1; }
	@$(RUN) tests/benchmarks/quality/newest.py --data "$(DATA)" \
	  --out "$(STATE)/bench/quality/$(notdir $(patsubst %/,%,$(DATA)))/newest.json"

bench-ablations: $(READY)  ## What each part of the model earns on validation: make bench-ablations DATA=folder [WITHOUT=trends,text]
	@[ -n "$(DATA)" ] || { echo "error: expected a data set, saw none. Fix: make bench-ablations DATA=folder" >&2; exit 1; }
	@$(RUN) tests/benchmarks/quality/ablations.py --data "$(DATA)" $(if $(WITHOUT),--without "$(WITHOUT)") \
	  --out "$(STATE)/bench/quality/$(notdir $(patsubst %/,%,$(DATA)))/ablations.json"

$(PEERS_READY): $(PEERS_LOCK) | $(READY)
	@[ -x $(PEERS_RUN) ] || { echo "Making $(PEERS_VENV)"; $(MAKE_PEERS_VENV); }
	@# torch by itself and first, as for .venv.
	@echo "Installing the peers' torch"
	@$(INSTALL_PEERS) $(filter torch==%,$(file < $(PEERS_LOCK)))
	@echo "Installing $(PEERS_LOCK)"
	@$(INSTALL_PEERS) --no-deps -r $(PEERS_LOCK)
	@touch $@

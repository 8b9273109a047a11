# make run    sets up and starts the server, on another port with make run PORT=9001; make test sets up and runs
# the whole suite, about 10 minutes on two cores.
# Everything is installed into .venv; `make clean` takes it all away again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT := 9000

.PHONY: run demo test pytest peers lint bench picture clean

run: $(VENV)/run.stamp
	@$(BIN)/twistd -n xfer --port $(PORT)

demo: $(VENV)/run.stamp
	@depot=$$(mktemp -d) && trap '{ kill $$server; wait $$server; rm -rf $$depot; } 2>/dev/null' EXIT && \
	{ $(BIN)/twistd -n --pidfile= --logfile=$$depot/log xfer \
		--storage $$depot/storage --endpoint unix:$$depot/socket & server=$$!; } && \
	until test -S $$depot/socket; do kill -0 $$server || exit 1; sleep 0.1; done && \
	$(BIN)/twistd -n xfer-client --endpoint unix:$$depot/socket --output $$depot/received

# Two tests at a time: most of them wait, for processes and disks. XFER_ON_DISK=1 keeps their files on a disk.
test: $(VENV)/test.stamp
	.ci/in_memory sh -c '$(BIN)/trial -j 2 --temp-directory "$${TMPDIR:-.}/_trial_temp" tests'

# PYTEST=--in-process leaves out the modules that start other programs.
pytest: $(VENV)/test.stamp
	.ci/in_memory $(BIN)/pytest -n 2 $(PYTEST)

# The programs that tests/server/test_peers.py talks to; without them, or without root, those tests are skipped.
peers:
	@PATH=$$PATH:/usr/sbin; for program in openssl haproxy socat nc; do command -v $$program >/dev/null || missing=1; done; \
	if test -n "$$missing" && test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			openssl haproxy socat netcat-openbsd; } >/dev/null 2>&1 || echo "the peers can't be installed here"; \
	fi

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All cases take about half an hour; BENCH="--case upload --rounds 3" for less, BENCH=--help for all.
bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench $(BENCH)

# The picture of a terminal in README.md.
picture: $(VENV)/picture.stamp
	$(BIN)/python docs/terminal.py

# Remove all that the targets make, but not storage/, where the server keeps its files.
clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .pytest_cache .mypy_cache .ruff_cache .hypothesis twistd.pid twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("xfer needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/python setup.cfg pyproject.toml
	@echo "setting up $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[test]
	@touch $@

$(VENV)/lint.stamp: $(VENV)/test.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[test,lint]
	@touch $@

$(VENV)/bench.stamp: $(VENV)/run.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[bench]
	@touch $@

$(VENV)/picture.stamp: $(VENV)/run.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[picture]
	@touch $@

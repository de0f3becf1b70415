# `make train`: the main job, from nothing.  `make test`: lint, and the tests that CI runs.  `make test-full`: lint and
# every test.  `make bench`: every table of the documentation, measured here, beside PyTorch and MindCV in environments
# of their own (benchmarks/README.md).  `make test-versions`: chosen tests under MindSpore 2.7.1, 2.8.0 and 2.9.0, in
# .versions (tools/versions.py).
# All make a virtual environment in .venv first; PYTHON chooses its interpreter (3.10, 3.11 or 3.12).

PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.10,$(shell command -v python$(version))) python3)
VENV := .venv
RUN := $(VENV)/bin/python
JOBS ?= 2
INSTALL = @echo "installing the packages into $(VENV); MindSpore is a download of 0.8 GB, then a minute of unpacking"; \
	$(RUN) -m pip install --disable-pip-version-check --requirement

.PHONY: train test test-full test-versions lint bench clean

train: $(VENV)/runtime
	$(RUN) train.py --model=sknet50 --resume=auto
	$(RUN) validate.py --ckpt_path=./ckpt/sknet50-best.ckpt

test: lint
	$(RUN) -m pytest -n $(JOBS) --dist loadfile -m "not slow"

test-full: lint
	$(RUN) -m pytest -n $(JOBS) --dist loadfile

test-versions: $(VENV)/bin/python
	$(RUN) tools/versions.py --jobs=$(JOBS) $(VERSIONS)

lint: $(VENV)/dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m codespell_lib
	$(RUN) -m mypy

bench: $(VENV)/dev
	$(RUN) tools/run_all.py $(BENCH)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	sys.exit(0 if (3, 10) <= v[:2] <= (3, 12) else "Python %d.%d will not do: MindSpore 2.10 has wheels for Python \
	3.10, 3.11 and 3.12 only. Choose one: make PYTHON=python3.11 ..." % v[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/runtime: requirements.txt | $(VENV)/bin/python
	$(INSTALL) requirements.txt
	@touch $@

$(VENV)/dev: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(INSTALL) requirements-dev.txt
	@touch $@ $(VENV)/runtime

clean:
	rm -rf $(VENV)

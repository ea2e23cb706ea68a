# make app         install and open the app
# make test        install what tests need and run them all
# make bench       measure speed and memory
# make screenshot  write docs/screenshot.png anew
# make clean       remove what the above made

VENV := .venv
BIN := $(VENV)/bin

# The first Python of the right age, unless one is named: make app PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && break; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install

.PHONY: app test check pytest bench screenshot browser clean

app: $(VENV)/app.stamp
	$(BIN)/streamlit run Home.py

test: check pytest

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Up to four processes, for TensorFlow takes 1 GB in each; what runs in Chromium waits for answers
# and goes alone.
pytest: $(VENV)/test.stamp browser
	$(BIN)/python -m pytest -m "not browser" --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m browser

bench: $(VENV)/app.stamp
	$(BIN)/python -m core bench

screenshot: $(VENV)/test.stamp browser
	DUET_SCREENSHOT=1 $(BIN)/python -m pytest tests/test_browser.py -k screenshot

# Tests look at the app in a Chromium of the system; on Debian it is installed when missing.
browser: $(VENV)/test.stamp
	@$(BIN)/python -m tests.browser

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Duet needs Python 3.11, 3.12 or 3.13: install one," \
		"or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual" \
		"environment; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/app.stamp: requirements.txt | $(BIN)/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/test.stamp: requirements-dev.txt $(VENV)/app.stamp
	$(PIP) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/screenshots

# Two commands do all set-up: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/quickstart
# The network trained last.
MODEL = $$(ls -t $(RUN)/artifacts/*/model.nir | head -n 1)

.PHONY: quickstart install lava test lint types examples docs clean

quickstart: $(VENV)/.installed lava
	if [ -f $(RUN)/run.toml ]; then $(BIN)/msenas resume $(RUN); \
	else $(BIN)/msenas search examples/quickstart.toml --run $(RUN); fi
	$(BIN)/msenas front $(RUN)
	$(BIN)/msenas train $(RUN) --arch chosen
	$(BIN)/msenas compile $(MODEL) --target onnx -o $$(dirname $(MODEL))/model.onnx
	$(BIN)/msenas compile $(MODEL) --target loihi -o $$(dirname $(MODEL))/program.npz
	$(BIN)/msenas verify $(MODEL) --target reference --target onnx --target loihi --target lava
	$(BIN)/msenas bench $(MODEL) --target reference --target onnx --target loihi
	$(BIN)/msenas report $(RUN)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,report]'
	touch $@

# Lava is archived and pins an old Python and numpy, so it lives in an environment of its own.
lava: $(VENV)/.installed
	$(BIN)/msenas doctor --install-lava

test: $(VENV)/.installed-dev lava
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

examples: $(VENV)/.installed-dev
	for example in examples/[0-9]*.py; do echo "$$example"; $(BIN)/python "$$example" || exit 1; done

# Warnings are errors (mkdocs.yml).
docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) .venv-lava runs site

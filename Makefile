# Every target uses the environment in .venv, which `make setup` makes from the locked versions.
# uv is used when it is there; otherwise venv + pip do the same.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE  ?= localhost/imaging-pipeline:$(VERSION)
# The image without its tag; a registry may have a port.
IMAGE_NAME = $(shell printf %s '$(IMAGE)' | sed 's,:[^:/]*$$,,')
ENGINE ?= $(shell command -v podman 2>/dev/null || echo docker)
UVX    ?= uvx
UV     := $(shell command -v uv 2>/dev/null)
# A process starts three times as fast from compiled modules, and tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup ci protos typescript lint types test demo bench fuzz kill-test kill-matrix rolling-test image image-check sbom \
  scan publish sign publish-chart compose-env compose-check chart chart-tools lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the environment in .venv

$(STAMP): requirements.lock pyproject.toml
	@if [ -n "$(UV)" ]; then \
	  test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
	  uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

protos: $(STAMP) ## generate the Python code of the contracts, and docs/api
	$(BIN)/python protos/generate.py
	$(BIN)/python protos/document.py

typescript: $(STAMP) ## generate the TypeScript stubs of the contracts (needs npm)
	cd examples/viewer && npm ci --ignore-scripts --no-audit --no-fund
	$(BIN)/python protos/generate_typescript.py

lint: $(STAMP) ## ruff, buf lint and buf breaking
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python protos/lint.py

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

test: $(STAMP) ## every test that needs no system package; the others skip with a sentence
	$(BIN)/pytest -q -n logical --dist loadfile

demo: $(STAMP) ## DICOM in, finished reports out, into demo-out/ (DICOM=<folder or file> for your own data; STAY=1: look at them)
	$(BIN)/imaging demo $(if $(DICOM),"$(DICOM)",) --out demo-out $(if $(STAY),--stay,)

bench: $(STAMP) ## the published figures into bench-out/, beside Orthanc where it is installed
	$(BIN)/python -m benchmarks.run --peer orthanc

fuzz: $(STAMP) ## ten minutes of mutated files through a running storage service (SECONDS_OF_FUZZ=600)
	$(BIN)/python -m tests.faults.fuzz --seconds $(or $(SECONDS_OF_FUZZ),600)

kill-test: $(STAMP) ## 60 s of uploads and runs while services are killed; then three deliberate bugs that must be caught
	$(BIN)/python -m tests.kill.scenario --seconds 60 --seed 1
	$(BIN)/python -m tests.kill.deliberate_bugs --seconds 20

kill-matrix: $(STAMP) ## storage killed 20 times on each of {folder, S3} x {SQLite, PostgreSQL}; a deliberate bug that must be caught
	$(BIN)/python -m tests.kill.matrix --kills 20
	$(BIN)/python -m tests.kill.matrix --kills 20 --store s3 --database postgresql --catch acknowledge-before-commit

rolling-test: $(STAMP) ## two replicas of every service restarted in turn, under load: no call may fail
	$(BIN)/python -m tests.rolling.scenario

ci: ## all that is tested before a release (PARTS="tests peers faults": only these)
	.ci/run $(PARTS)

image: ## the container image, by podman or docker (IMAGE=name:tag)
	$(ENGINE) build --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) $(BUILD_ARGS) -t $(IMAGE) .

image-check: $(STAMP) ## run the image hardened; the chart's pods, and the main job through them (podman, chart-tools)
	$(ENGINE) run --rm --read-only --cap-drop=all --security-opt=no-new-privileges --memory=512m --network=none \
	  --tmpfs /tmp $(IMAGE) doctor
	$(BIN)/python -m tests.containers.play_chart --image $(IMAGE)

sbom: ## CycloneDX list of what the image is made of, into build/sbom.cdx.json
	@mkdir -p build
	$(UVX) --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml --of JSON -o build/sbom.cdx.json requirements-run.lock

scan: ## known weaknesses of the image by Trivy; fails for those that are serious and have a fix
	trivy image --exit-code 1 --ignore-unfixed --severity HIGH,CRITICAL $(IMAGE)

publish: ## push the image (IMAGE=registry/name:tag); its digest into build/image.digest
	@mkdir -p build && rm -f build/image.digest
	$(ENGINE) push $(if $(findstring podman,$(ENGINE)),--digestfile build/image.digest,) $(IMAGE)
	@test -s build/image.digest || $(ENGINE) image inspect --format '{{index .RepoDigests 0}}' $(IMAGE) | sed 's/.*@//' > build/image.digest

sign: ## sign what was published, and its SBOM, by cosign (with the identity of the CI, or your key)
	cosign sign --yes $(IMAGE_NAME)@$$(cat build/image.digest)
	cosign attest --yes --type cyclonedx --predicate build/sbom.cdx.json $(IMAGE_NAME)@$$(cat build/image.digest)

compose-env: ## the secrets for compose.yaml into .env; those that are there stay
	@sh compose/env.sh

compose-check: $(STAMP) ## compose.yaml as a whole brought up, the main job run in it, taken down (STAND_INS="": PostgreSQL and S3 built here)
	$(BIN)/python -m tests.containers.compose_up --image $(IMAGE) $(if $(filter undefined,$(origin STAND_INS)),,--stand-ins "$(STAND_INS)")

chart: ## package the Helm chart into build/
	@mkdir -p build
	helm package charts/imaging --destination build

publish-chart: chart ## push the packaged chart (CHARTS=oci://registry/folder)
	helm push build/imaging-$(VERSION).tgz $(CHARTS)

chart-tools: $(STAMP) ## Helm 3 and 4 and the checkers that tests/charts run
	$(BIN)/python -m tests.charts.tools

lock: ## resolve requirements.lock, and of it requirements-run.lock for the image, anew (needs uv)
	uv pip compile -q --universal --group dev pyproject.toml --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o requirements.lock
	uv pip compile -q --universal pyproject.toml --constraint requirements.lock --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o requirements-run.lock

clean: ## remove what the targets made (not the environment)
	rm -rf build dist demo-out bench-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

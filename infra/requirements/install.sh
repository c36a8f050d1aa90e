#!/bin/sh
# Make an environment anew with what lock files name, each file held to its hash; from the root of the checkout.
# Usage: install.sh FOLDER LOCK ...   PYTHON=python3.12 makes it with another Python.
# uv installs, with the indexes, folders and certificate that pip is set to use; where uv is not to be had, pip does.
set -eu
folder=$1
shift
locks=infra/requirements
pip="$folder/bin/pip"

# The value of one of pip's settings, from its environment variable or its files.
setting() { printenv "PIP_$(echo "$1" | tr a-z- A-Z_)" || "$pip" config get "global.$1" || "$pip" config get "install.$1"; }
take() { value=$(setting "$1" 2> /dev/null) && export "$2=$value" || true; }

"${PYTHON:-python3}" -m venv --clear "$folder"
if "$pip" install --quiet --require-hashes --no-deps --requirement "$locks/installer.lock"; then
    take index-url UV_DEFAULT_INDEX
    take extra-index-url UV_EXTRA_INDEX_URL
    # pip parts its places by blanks and passes over a folder that is not there; uv wants commas, and each place.
    for place in $(setting find-links 2> /dev/null); do
        case $place in *://*) ;; *) [ -e "$place" ] || continue ;; esac
        UV_FIND_LINKS=${UV_FIND_LINKS:+$UV_FIND_LINKS,}$place
        export UV_FIND_LINKS
    done
    take cert SSL_CERT_FILE
    # Of all indexes the best version, as pip takes it: a hash stands for each file, wherever it comes from.
    export UV_INDEX_STRATEGY=unsafe-best-match
    # Every file is held to its hashes. `--require-hashes` would refuse PyTorch's own builds, whose versions end in `+cpu`.
    install() { "$folder/bin/uv" pip install --quiet --python "$folder" --no-deps --no-build-isolation --verify-hashes "$@"; }
else
    echo "uv could not be installed: pip installs instead, which takes longer" >&2
    install() { "$pip" install --quiet --no-deps --no-build-isolation --require-hashes "$@"; }
fi
install --requirement "$locks/build.lock"
for lock; do
    install --requirement "$locks/$lock.lock"
done
# PyTorch's build for CUDA, which PyPI has for Linux, loads CUDA's libraries wherever it runs.
case " $* " in *" dev "* | *" run "*)
    if "$folder/bin/python" -c "from importlib.metadata import requires; exit('nvidia' not in str(requires('torch')))"; then
        install --requirement "$locks/cuda.lock"
    fi ;;
esac

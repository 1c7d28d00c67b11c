#!/bin/sh
# Makes the Python environment of these scripts in .cache/distill/venv (Python 3.11, x86-64 Linux)
# and prints the path of its interpreter. With "distill" it also installs what distilling needs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.cache/distill/venv
install() {
	stamp=$venv/$1.installed
	cmp -s "$here/$1" "$stamp" && return
	"$venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$here/$1" >&2
	cp "$here/$1" "$stamp"
}
[ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"
install requirements.txt
[ "${1:-}" != distill ] || install requirements-distill.txt
echo "$venv/bin/python"

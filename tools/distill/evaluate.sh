#!/bin/sh
# evaluate.py in its own environment: ./evaluate.sh --data FOLDER [--table FILE] [--json]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/venv.sh")
exec "$python" "$here/evaluate.py" "$@"

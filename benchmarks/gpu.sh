#!/usr/bin/env bash
# Checks every scorer and fast path on a GPU against the CPU, and measures them: JSON into
# benchmarks/results/gpu.json, in less than ten minutes. `--smoke` does all of it, tiny, on the CPU.
#   benchmarks/gpu.sh [--data cifar10:PATH] [--out FILE] [--run FOLDER] [--smoke]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$here/../.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" "$here/gpu.py" "$@"

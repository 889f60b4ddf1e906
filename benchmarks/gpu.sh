#!/usr/bin/env bash
# Checks every scorer and fast path on a GPU against the CPU, and measures them: JSON into
# benchmarks/results/gpu.json, in less than ten minutes. `--smoke` does all of it, tiny, on the CPU.
#   benchmarks/gpu.sh [--only PART,...] [--data cifar10:PATH] [--out FILE] [--run FOLDER] [--smoke]
#   benchmarks/gpu.sh check [PYTEST ARGUMENTS]   the tests that need a GPU
# It needs no installation: without .venv, $PYTHON (python3 by default) runs the package from a
# temporary folder. Wheels in .whl/, of packages that this Python lacks, are installed there too.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-$root/.venv/bin/python}"
[ -x "$python" ] || python=python3
what=measure
if [ "${1:-}" = check ]; then what=check && shift; fi

# Parts of the package lie beside it in a checkout, where only an installation maps them into it.
lay_out() {
  mkdir -p "$site/autospace" "$site/autospace-0.dist-info"
  cp -R "$root/autospace/." "$site/autospace"
  cp -R "$root/cli" "$root/spaces" "$site/autospace/"
  version="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml" | head -n 1)"
  printf 'Metadata-Version: 2.1\nName: autospace\nVersion: %s\n' "$version" \
    >"$site/autospace-0.dist-info/METADATA"
  if compgen -G "$root/.whl/*.whl" >/dev/null; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$root"/.whl/*.whl
  fi
  suffix="$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"
  kernels="$site/autospace/networks/kernels"
  cc -O3 -fno-tree-vectorize -fno-unswitch-loops -Wno-psabi -shared -fPIC "$kernels/kernels.c" \
    -o "$kernels/_native$suffix" -lm 2>/dev/null || echo "no kernels for the CPU: no C compiler" >&2
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
}

cd "$root"
if ! "$python" -P -c 'import autospace.cli, autospace.spaces' 2>/dev/null; then
  site="$(mktemp -d)"
  trap 'rm -rf "$site"' EXIT
  lay_out
fi
# -P: the folder autospace/ of the checkout is not the package.
if [ "$what" = check ]; then
  # By name: to collect the others needs packages that a bare machine may lack.
  [ $# -gt 0 ] || set -- tests/compute/test_on_device.py tests/compute/test_gpu.py \
    tests/compute/test_several_devices.py tests/networks/kernels/test_triton.py tests/bench/test_gpu.py \
    tests/data/test_batches.py tests/training/test_training_run.py
  "$python" -P -m pytest -m gpu -q -rA --tb=short -p no:cacheprovider "$@"
else
  "$python" benchmarks/gpu.py "$@"
fi

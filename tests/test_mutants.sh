#!/bin/sh
# Every mutant still applies to the sources. Whether it is killed, `make mutants` says.
cd "$(dirname "$0")/.." || exit 1
python3 tests/mutants.py --check

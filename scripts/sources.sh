#!/bin/sh
# Prints the files that a part of the tree is built from, one a line, sorted: meson.build asks for
# them, so that a new file is registered nowhere. `all` is what build.sh compares to see whether the
# set has changed and meson must look again.
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C

list()
{
    for file in "$@"; do
        [ -f "$file" ] && echo "$file"
    done
}

case $1 in
lib) list src/*/*.c ;;
tool) list tools/motet/*.c ;;
tests) list tests/test_*.c ;;
examples) list examples/*.c ;;
bench) list bench/*.c ;;
headers) list include/motet/*.h ;;
man) list docs/man/*.[137] ;;
all)
    list src/*/*.c tools/motet/*.c tests/test_*.c examples/*.c bench/*.c include/motet/*.h \
        docs/man/*.[137] bench/meson.build
    ;;
*)
    echo "usage: $0 lib|tool|tests|examples|bench|headers|man|all" >&2
    exit 2
    ;;
esac
exit 0

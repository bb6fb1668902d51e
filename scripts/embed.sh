#!/bin/sh
# Prints a C header with the bytes of a file, ended by a NUL.
#
#   scripts/embed.sh FILE NAME >NAME.h
[ $# -eq 2 ] || {
    sed -n '2,/^\[/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
echo "/* Made from $(basename "$1"). */"
echo "static const char $2[] = {"
od -An -v -tu1 "$1" | sed 's/ *\([0-9][0-9]*\)/\1,/g'
echo "0};"

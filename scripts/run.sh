#!/bin/sh
# What `make run` shows: examples/wordcount over the files of a folder, on threads and on processes;
# then `motet map`, which runs a command for each of the same files, one at a time on each processor.
cd "$(dirname "$0")/.." || exit 1
dir=${1:-/usr/include}
build=${BUILD:-build}/release

if [ ! -d "$dir" ]; then
    echo "$dir: not a folder" >&2
    exit 1
fi

echo "\$ $build/examples/wordcount $dir"
"$build/examples/wordcount" "$dir" || exit 1

# The longest files: each line is the output of one of the commands.
echo
echo "\$ find $dir -type f -print0 | $build/motet map -0 --progress wc -l | sort -n | tail -n 5"
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
begin=$(date +%s%N)
find "$dir" -type f -print0 | "$build/motet" map -0 --progress wc -l >"$out"
status=$?
end=$(date +%s%N)
sort -n "$out" | tail -n 5
awk -v ms="$(((end - begin) / 1000000))" \
    '{ n += $1 } END { printf "%d lines in %d files, one wc each, in %.1f s\n", n, NR, ms / 1000 }' "$out"
# 1: some file could not be read, which motet has said.
[ "$status" -le 1 ]

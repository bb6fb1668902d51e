#!/bin/sh
# clang-format decides how the sources look. Its versions differ a little; 14 is the one that counts.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh

for tool in clang-format-14 clang-format; do
    command -v $tool >/dev/null && break
done
if ! $tool --version 2>/dev/null | grep -q 'version 14'; then
    echo "no clang-format 14 here"
    exit 77
fi

# Many at a time, as starting the tool takes longer than looking at a file.
find include src tools tests examples bench -name '*.[ch]' | sort >"$scratch/files"
xargs -n 50 $tool --dry-run -Werror <"$scratch/files" >"$scratch/said" 2>&1
status=$?
while read -r file; do
    grep -F "$file:" "$scratch/said" | grep 'error:' | head -5 >"$scratch/found"
    verdict "$file: make format would change it"
done <"$scratch/files"
if [ $status -ne 0 ] && [ "$failed" -eq 0 ]; then
    cp "$scratch/said" "$scratch/found"
fi
verdict "$tool looks at all of them"
tally

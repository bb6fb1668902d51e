#!/bin/sh
# clang-format decides how the sources look. Its versions differ a little; 14 is the one that counts.
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0

for tool in clang-format-14 clang-format; do
    command -v $tool >/dev/null && break
done
if ! $tool --version 2>/dev/null | grep -q 'version 14'; then
    echo "no clang-format 14 here"
    exit 77
fi

for file in $(find include src tools tests examples bench -name '*.[ch]' | sort); do
    if output=$($tool --dry-run -Werror "$file" 2>&1); then
        passed=$((passed + 1))
    else
        echo "FAIL $file: make format would change it"
        echo "$output" | grep -E 'error:' | head -5
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# The manual and the headers say the same: each public function has a page, whose synopsis is its
# declaration; each example compiles; groff has nothing to complain of.
cd "$(dirname "$0")/.." || exit 1
if ! command -v man >/dev/null || ! command -v groff >/dev/null; then
    echo "no man or groff here"
    exit 77
fi
. tests/verdict.sh
cc=${CC:-cc}
export LC_ALL=C.UTF-8

# A tree as man wants it, for the pages that only point to another.
mkdir "$scratch/man1" "$scratch/man3" "$scratch/man7"
for page in docs/man/*.[137]; do
    cp "$page" "$scratch/man${page##*.}/"
done
pages=$(grep -L '^\.so ' docs/man/*.[37])

# ---- what the headers declare

# The declarations, one a line, without attributes; and the macros.
echo '#include <motet.h>' | $cc -std=c17 -Iinclude -E -P - | tr '\n' ' ' | tr -s ' ' | tr ';' '\n' |
    sed -n 's/^.*visibility("default"))) //p' | grep -v 'motet__' >"$scratch/declarations"
sed -e 's/(.*//' -e 's/.*[ *]//' "$scratch/declarations" >"$scratch/functions"
echo '#include <motet.h>' | $cc -std=c17 -Iinclude -E -dM - |
    sed -n 's/^#define \([A-Za-z_0-9]*\).*/\1/p' >"$scratch/macros"
grep '^motet_' "$scratch/macros" | grep -v '^motet__' >>"$scratch/functions"
sort -u -o "$scratch/functions" "$scratch/functions"
[ "$(wc -l <"$scratch/functions")" -ge 80 ] || cat "$scratch/functions" >"$scratch/found"
verdict "the headers can be read: too few functions found"

while read -r name; do
    if [ ! -f "docs/man/$name.3" ]; then
        echo "docs/man/$name.3 is missing" >"$scratch/found"
    elif ! man -M "$scratch" -Tutf8 3 "$name" 2>/dev/null | col -bx |
        sed -n '/^NAME/,/^SYNOPSIS/p' | grep -qw "$name"; then
        echo "docs/man/$name.3 leads to a page that does not name it" >"$scratch/found"
    fi
    verdict "$name has a page"
done <"$scratch/functions"

# Options are looked up by their own name too.
echo '#include <motet.h>' | $cc -std=c17 -Iinclude -E -P - | grep -oE 'struct motet_[a-z_]*_options' |
    sed 's/struct //' | sort -u >"$scratch/options"
while read -r name; do
    [ -f "docs/man/$name.3" ] || echo "docs/man/$name.3 is missing" >"$scratch/found"
    verdict "$name has a page"
done <"$scratch/options"
sort -u -o "$scratch/named" "$scratch/functions" "$scratch/options"

# Each declaration stands in the synopsis of the page of its function, blanks aside.
for page in $pages; do
    MANWIDTH=200 man -l -Tutf8 "$page" 2>/dev/null | col -bx | tr -d ' \n' >"$scratch/$(basename "$page").text"
done
while read -r declaration; do
    name=$(echo "$declaration" | sed -e 's/(.*//' -e 's/.*[ *]//')
    target=$(sed -n 's|^\.so man3/||p' "docs/man/$name.3" 2>/dev/null)
    [ "$target" ] || target=$name.3
    wanted=$(echo "$declaration" | sed 's/_Bool/bool/g' | tr -d ' \n')
    grep -qF -- "$wanted;" "$scratch/$target.text" 2>/dev/null ||
        echo "$target has not: $declaration" >"$scratch/found"
    verdict "the synopsis of $name is its declaration"
done <"$scratch/declarations"

# The constants, and the fields of options.
# shellcheck disable=SC2086
sed -e 's/\\f.//g' -e 's/\\&//g' $pages >"$scratch/words"
for name in $(grep '^MOTET_' "$scratch/macros" | grep -vE '_H$|^MOTET_(API$|SIZE_OF$|_)') \
    $(echo '#include <motet.h>' | $cc -std=c17 -Iinclude -E -P - | tr -s ' \n' ' ' |
        grep -oE 'enum motet_[a-z_]* \{[^}]*' | grep -oE 'MOTET_[A-Z_]*' | grep -v '^MOTET__') \
    $(echo '#include <motet.h>' | $cc -std=c17 -Iinclude -E -P - | tr -s ' \n' ' ' |
        grep -oE 'struct motet_[a-z]*_options \{[^}]*' | grep -oE '[a-z_]+;' | grep -v '^motet__' | sed 's/^/./; s/;//'); do
    [ "$name" = .function ] && continue # set by a macro, nobody else's
    grep -qwF -e "$name" "$scratch/words" || echo "$name" >"$scratch/found"
    verdict "$name is on some page"
done

# ---- the pages themselves

for page in docs/man/*.[37]; do
    target=$(sed -n 's|^\.so ||p' "$page")
    [ -z "$target" ] && continue
    [ -f "$scratch/$target" ] && [ "$(wc -l <"$page")" -eq 1 ] || echo "$target" >"$scratch/found"
    grep -qx "$(basename "$page" .3)" "$scratch/named" || echo "there is nothing of that name" >"$scratch/found"
    verdict "$page points to a page"
done

for page in $pages; do
    MANWIDTH=80 man --warnings -l -Tutf8 -E UTF-8 "$page" 2>"$scratch/found" >"$scratch/text"
    verdict "$page: warnings"
    col -bx <"$scratch/text" | awk 'length > 80' >"$scratch/found"
    verdict "$page: lines of more than 80 columns"
    for section in NAME SYNOPSIS DESCRIPTION EXAMPLE "SEE ALSO"; do
        grep -qE "^\.SH \"?$section\"?\$" "$page" || echo "$section" >>"$scratch/found"
    done
    case $page in
    *.3)
        for section in "RETURN VALUE" ERRORS PYTHON NOTES; do
            grep -qE "^\.SH \"?$section\"?\$" "$page" || echo "$section" >>"$scratch/found"
        done
        ;;
    esac
    verdict "$page: sections that are missing"

    # References to other pages of ours.
    sed -e 's/\\f.//g' -e 's/\\&//g' "$page" | grep -oE 'motet[a-z_-]*\([137]\)' | sort -u |
        tr -d ')' | tr '(' ' ' | while read -r name section; do
        [ "$section" = 1 ] || [ -f "docs/man/$name.$section" ] || echo "$name($section)"
    done >"$scratch/found"
    verdict "$page: references to pages that are not there"
done

# ---- the examples

# The programs in the EXAMPLE section of page $1, as the reader sees them.
examples()
{
    awk '/^\.SH/ { inside = /EXAMPLE/ }
        /^\.EE/ { code = 0 }
        code {
            gsub(/\\&/, ""); gsub(/\\-/, "-"); gsub(/\\\(aq/, "\047"); gsub(/\\\(ha/, "^")
            gsub(/\\\(ti/, "~"); gsub(/\\\(ga/, "`"); gsub(/\\\(dq/, "\""); gsub(/\\e/, "\\")
            print
        }
        inside && /^\.EX/ { code = 1 }' "$1"
}

for page in $pages; do
    examples "$page" >"$scratch/example.c"
    grep -q '^int main' "$scratch/example.c" || echo "no main in it" >"$scratch/found"
    verdict "$page: the example is a program"
    $cc -std=c17 -Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only "$scratch/example.c" \
        >"$scratch/found" 2>&1
    verdict "$page: the example compiles"
done

tally

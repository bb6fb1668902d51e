#!/bin/sh
# `make install` gives all that a program needs: compiled with pkg-config's flags it runs, against
# the shared and the static library.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
prefix=$scratch/prefix

# A build folder of its own, kept between runs. Whether the library is right when it is optimised, the other
# tests say: here it is compiled in a third of the time.
unset DESTDIR MAKEFLAGS MAKELEVEL
export CFLAGS="-O0 -g0"
try "make install with DESTDIR" make install BUILD="$MOTET_BUILD/install" PREFIX=/opt/motet \
    DESTDIR="$scratch/stage"
try "make install" make install BUILD="$MOTET_BUILD/install" PREFIX="$prefix"
try "DESTDIR is put in front" test -f "$scratch/stage/opt/motet/include/motet.h"
try "DESTDIR is not in motet.pc" grep -qx "prefix=/opt/motet" \
    "$scratch/stage/opt/motet/lib/pkgconfig/motet.pc"

for file in include/motet.h lib/libmotet.a lib/libmotet.so lib/libmotet.so.0 \
    lib/libmotet.so.0.1.0 lib/libmotet_check.a lib/pkgconfig/motet.pc \
    lib/pkgconfig/motet_check.pc bin/motet; do
    try "$file is installed" test -f "$prefix/$file"
done
for file in bash-completion/completions/motet zsh/site-functions/_motet \
    fish/vendor_completions.d/motet.fish; do
    try "$file is installed" test -f "$prefix/share/$file"
done
for header in include/motet/*.h; do
    try "$header is installed" cmp "$header" "$prefix/$header"
done
for page in docs/man/*.[137]; do
    [ -f "$page" ] || continue
    try "$page is installed" test -f "$prefix/share/man/man${page##*.}/$(basename "$page")"
done
if command -v man >/dev/null && [ -f docs/man/motet.1 ]; then
    try "man finds it" man -M "$prefix/share/man" -w motet
fi
if [ -x "$prefix/bin/motet" ]; then
    try "the command runs" "$prefix/bin/motet" --version
fi

soname()
{
    readelf -d "$prefix/lib/libmotet.so" | grep -q 'SONAME.*\[libmotet.so.0\]'
}
try "SONAME is libmotet.so.0" soname

cat >"$scratch/prog.c" <<'EOF'
#include <motet.h>
#include <stdio.h>
#include <string.h>

static motet_lock lock = MOTET_LOCK_INIT;
static long n;

static int count(void *arg)
{
    for (int i = 0; i < 1000; i++)
        motet_with(&lock)
            n += *(int *)arg;
    return 0;
}

int main(void)
{
    int step = 2;
    motet_thread *a = motet_thread_start(count, &step), *b = motet_thread_start(count, &step);
    motet_thread_join(a, MOTET_FOREVER);
    motet_thread_join(b, MOTET_FOREVER);
    motet_thread_free(a);
    motet_thread_free(b);
    printf("%ld\n", n);
    return n == 4000 && !strcmp(motet_version(), VERSION) ? 0 : 1;
}
EOF
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
version=$(pkg-config --modversion motet)
try "pkg-config knows the version" test "$version" = 0.1.0
cat >"$scratch/compile" <<'EOF'
cc=$1 out=$2
shift 2
$cc -Wall -Wextra -pedantic -Werror "-DVERSION=\"$version\"" -o "$scratch/$out" "$scratch/prog.c" "$@"
EOF
export version scratch

for cc in gcc clang; do
    command -v "$cc" >/dev/null || continue
    # shellcheck disable=SC2046
    try "compiles with $cc, shared" sh "$scratch/compile" $cc shared \
        $(pkg-config --cflags --libs motet)
    try "runs, shared" env LD_LIBRARY_PATH="$prefix/lib" "$scratch/shared"
    # shellcheck disable=SC2046
    try "compiles with $cc, static library" sh "$scratch/compile" $cc archive \
        $(pkg-config --cflags motet) "$prefix/lib/libmotet.a"
    try "runs without the shared library" "$scratch/archive"
    # shellcheck disable=SC2046
    try "compiles with $cc, all static" sh "$scratch/compile" $cc static -static \
        $(pkg-config --static --cflags --libs motet)
    try "runs, all static" "$scratch/static"
    # shellcheck disable=SC2046
    try "compiles with $cc, to be checked" sh "$scratch/compile" $cc checked \
        $(pkg-config --cflags --libs motet_check)
    try "runs under many schedules" env MOTET_CHECK=random:20 "$scratch/checked"
done

echo mine >"$prefix/lib/mine"
try "make uninstall" make uninstall BUILD="$MOTET_BUILD/install"
is "it leaves what is not motet's" "$prefix/lib/mine" "$(find "$prefix" -type f -o -type l)"
mkdir "$scratch/empty"
is "where nothing was installed" 1 \
    "$(make uninstall BUILD="$scratch/empty" 2>&1 | grep -c "nothing was installed from here")"

tally

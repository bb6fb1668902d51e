#!/bin/sh
# Programs that start processes by spawn and forkserver, as users write them: what works however they are
# linked and started, and what is said when it cannot.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
export LC_ALL=C
include=$PWD/include build=$(cd "$MOTET_BUILD" && pwd)

run()
{
    timeout 120 "$@" 2>&1
    code=$?
    [ $code -eq 0 ] || echo "exit $code"
}

cat >"$scratch/program.c" <<'END'
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int answer(void *arg)
{
    return *(int *)arg + VALUE;
}
MOTET_TASK(answer);

static int start(motet_start_method method)
{
    int n = 40;
    motet_process_options options = {};
    options.size = sizeof n;
    options.method = method;
    motet_process *p = motet_process_start_with(answer, &n, &options);
    if (!p) {
        printf("%s\n", motet_last_error());
        return 1;
    }
    motet_process_join(p, MOTET_FOREVER);
    printf("%d\n", motet_process_exitcode(p));
    motet_process_free(p);
    return 0;
}

#ifdef EARLY
__attribute__((constructor)) static void too_early(void)
{
    start(MOTET_FORK);
}
#endif

int main(int argc, char **argv)
{
#ifndef NO_MAIN
    MOTET_MAIN(argc, argv);
#endif
    (void)argc, (void)argv;
    if (argc > 1 && motet_set_executable(argv[1]) != 0)
        return 1;
    return start(MOTET_SPAWN) || start(MOTET_FORKSERVER);
}
END

# compile NAME COMPILER [OPTION...]: a program of that name
compile()
{
    name=$1
    shift
    "$@" -Wall -Wextra -I"$include" -o "$scratch/$name" "$scratch/program.c" \
        ${library-"$build/libmotet.a"} || exit 1
}

both='42
42'
compile program gcc -O2 -DVALUE=2
is "with the static library" "$both" "$(run "$scratch/program")"

if [ -f "$build/libmotet.so" ]; then
    library="-L$build -lmotet -Wl,-rpath,$build" compile shared gcc -O2 -DVALUE=2
    is "with the shared library" "$both" "$(run "$scratch/shared")"
fi
compile lto gcc -O2 -flto -DVALUE=2
is "optimised when it is linked" "$both" "$(run "$scratch/lto")"
compile sections gcc -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -DVALUE=2
is "without sections that nobody uses" "$both" "$(run "$scratch/sections")"
compile fixed gcc -no-pie -DVALUE=2
is "at a fixed address" "$both" "$(run "$scratch/fixed")"
if gcc -static -DVALUE=2 -I"$include" -o "$scratch/static" "$scratch/program.c" \
    "$build/libmotet.a" 2>/dev/null; then
    is "linked statically" "$both" "$(run "$scratch/static")"
fi
cp "$scratch/program.c" "$scratch/program.cc"
library="-x none $build/libmotet.a" compile plus g++ -x c++ -DVALUE=2
is "in C++" "$both" "$(run "$scratch/plus")"

cp "$scratch/program" "$scratch/stripped"
strip "$scratch/stripped"
is "stripped" "$both" "$(run "$scratch/stripped")"
is "by a relative path" "$both" "$(cd "$scratch" && run ./program)"
is "by a search" "$both" "$(PATH=$scratch:$PATH run program)"

# ---- the file is replaced while the program runs: the child is the old program
cat >"$scratch/wait.c" <<'END'
#include <motet.h>
#include <stdio.h>
#include <unistd.h>

static int say(void *arg)
{
    (void)arg;
    puts("the old one");
    return 0;
}
MOTET_TASK(say);

int main(int argc, char **argv)
{
    char line[10];
    MOTET_MAIN(argc, argv);
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        return 1;
    motet_process *p = motet_process_start(say, NULL, 0, .method = MOTET_SPAWN);
    motet_process_join(p, MOTET_FOREVER);
    return motet_process_exitcode(p);
}
END
gcc -I"$include" -o "$scratch/wait" "$scratch/wait.c" "$build/libmotet.a" || exit 1
mkfifo "$scratch/in" "$scratch/out"
"$scratch/wait" <"$scratch/in" >"$scratch/out" &
exec 3>"$scratch/in" 4<"$scratch/out"
read -r line <&4
rm "$scratch/wait"
printf '#!/bin/sh\necho the new one\n' >"$scratch/wait"
chmod +x "$scratch/wait"
echo go >&3
read -r line <&4
is "the file was replaced" "the old one" "$line"
exec 3>&- 4<&-
wait

# ---- a program that is no file, or has no name any more
cat >"$scratch/nameless.c" <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int file = argc > 1 ? open(argv[1], O_RDONLY) : -1, memory = memfd_create("program", MFD_CLOEXEC);
    while (sendfile(memory, file, NULL, 1 << 20) > 0)
        ;
    fexecve(memory, argv + 1, environ);
    perror("fexecve");
    return 1;
}
END
gcc -o "$scratch/nameless" "$scratch/nameless.c" || exit 1
is "executed from memory" "$both" "$(run "$scratch/nameless" "$scratch/program")"

# ---- a target in an object that was loaded later
cat >"$scratch/plugin.c" <<'END'
#include <motet.h>

static int in_plugin(void *arg)
{
    return *(int *)arg * 2;
}
MOTET_TASK(in_plugin);

motet_target get(void);
motet_target get(void)
{
    return in_plugin;
}
END
cat >"$scratch/host.c" <<'END'
#include <dlfcn.h>
#include <motet.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    int n = 21;
    MOTET_MAIN(argc, argv);
    for (int i = 0; i < 3; i++) {
        void *object = dlopen(argv[1], RTLD_NOW);
        motet_target (*get)(void);
        *(void **)&get = object ? dlsym(object, "get") : NULL;
        if (!get)
            return 1;
        motet_process *p =
            motet_process_start(get(), &n, sizeof n, .method = i ? MOTET_FORKSERVER : MOTET_SPAWN);
        motet_process_join(p, MOTET_FOREVER);
        printf("%d\n", motet_process_exitcode(p));
        dlclose(object); /* it is forgotten, and can be loaded again */
    }
    return 0;
}
END
if [ -f "$build/libmotet.so" ]; then
    gcc -shared -fPIC -I"$include" -o "$scratch/plugin.so" "$scratch/plugin.c" &&
        gcc -I"$include" -o "$scratch/host" "$scratch/host.c" -L"$build" -lmotet \
            -Wl,-rpath,"$build" || exit 1
    is "a target in a plug-in" "42
42
42" "$(run "$scratch/host" "$scratch/plugin.so")"
fi

# ---- targets that have one name, in source files of one name
mkdir "$scratch/a" "$scratch/b"
for dir in a b; do
    sed "s/DIR/$dir/" >"$scratch/$dir/util.c" <<'END'
#include <motet.h>
#include <stdio.h>

static int work(void *arg)
{
    (void)arg;
    puts("DIR");
    return 0;
}
MOTET_TASK(work);

motet_target get_DIR(void);
motet_target get_DIR(void)
{
    return work;
}
END
    (cd "$scratch/$dir" && gcc -Wall -Wextra -I"$include" -fPIC -c util.c) || exit 1
done
cat >"$scratch/twins.c" <<'END'
#include <dlfcn.h>
#include <motet.h>
#include <stdio.h>
#include <unistd.h>

motet_target get_a(void);
#ifndef PLUGIN
motet_target get_b(void);
#endif

static void start(motet_target target, motet_start_method method)
{
    motet_process *p = motet_process_start(target, NULL, 0, .method = method);
    if (!p) {
        puts(motet_last_error());
        return;
    }
    motet_process_join(p, MOTET_FOREVER);
    if (motet_process_exitcode(p) != 0)
        printf("%d\n", motet_process_exitcode(p));
    fflush(stdout);
    motet_process_free(p);
}

int main(int argc, char **argv)
{
    MOTET_MAIN(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef PLUGIN
    motet_target (*get_b)(void);
    void *object = dlopen(PLUGIN, RTLD_NOW);
    *(void **)&get_b = object ? dlsym(object, "get_b") : NULL;
    if (!get_b || (argc > 1 && chdir(argv[1]) != 0))
        return 1;
#else
    if (argc > 1 && motet_set_executable(argv[1]) != 0)
        return 1;
#endif
    for (int method = MOTET_FORK; method <= MOTET_FORKSERVER; method++) {
        start(get_a(), (motet_start_method)method);
        start(get_b(), (motet_start_method)method);
    }
    return 0;
}
END
thrice='a
b
a
b
a
b'

# twins NAME [OPTION...]: a program of that name, with both of them
twins()
{
    name=$1
    shift
    gcc -Wall -Wextra -I"$include" -o "$scratch/$name" "$scratch/twins.c" "$scratch/a/util.o" "$@"
}
both_files="$scratch/b/util.o $build/libmotet.a"
# shellcheck disable=SC2086
twins twins $both_files || exit 1
is "two files of one name" "$thrice" "$(run "$scratch/twins")"
# shellcheck disable=SC2086
twins twins_fixed -no-pie $both_files || exit 1
is "two files of one name, at a fixed address" "$thrice" "$(run "$scratch/twins_fixed")"
for static in static static-pie; do
    # shellcheck disable=SC2086
    if twins twins_static -$static $both_files 2>/dev/null; then
        is "two files of one name, linked with -$static" "$thrice" "$(run "$scratch/twins_static")"
    fi
done
cp "$scratch/twins" "$scratch/copy"
out=$(run "$scratch/twins" "$scratch/copy")
has "two files of one name, another program" "several targets have its name" "$out"
is "which calls neither" "$(printf 'a\nb\n127\n127\n127\n127')" "$(echo "$out" | grep -v ^motet:)"
cat >"$scratch/one.c" <<'END'
#include <motet.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    MOTET_MAIN(argc, argv);
    return 0;
}
END
gcc -I"$include" -o "$scratch/one" "$scratch/one.c" "$scratch/a/util.o" "$build/libmotet.a" || exit 1
out=$(run "$scratch/twins" "$scratch/one")
is "another program, with one of them: neither" "$(printf 'a\nb\n127\n127\n127\n127')" \
    "$(echo "$out" | grep -v ^motet:)"

if [ -f "$build/libmotet.so" ]; then
    gcc -shared -o "$scratch/b/libb.so" "$scratch/b/util.o" &&
        twins plugin_twin -DPLUGIN='"b/libb.so"' -L"$build" -lmotet -Wl,-rpath,"$build" || exit 1
    is "one in the program, one in a plug-in" "$thrice" "$(cd "$scratch" && run ./plugin_twin)"
    out=$(cd "$scratch" && run ./plugin_twin /)
    has "the plug-in is not there" "b/libb.so: cannot open shared object file" "$out"
    is "which calls no other" "$(printf 'a\nb\na\n127\na\n127')" "$(echo "$out" | grep -v ^motet:)"
fi

cat >"$scratch/spaces.cc" <<'END'
#include <cstdio>
#include <initializer_list>
#include <motet.h>

#define SPACE(name)                                                                                \
    namespace name                                                                                 \
    {                                                                                              \
    static int work(void *)                                                                        \
    {                                                                                              \
        std::puts(#name);                                                                          \
        return 0;                                                                                  \
    }                                                                                              \
    MOTET_TASK(work);                                                                              \
    }
SPACE(a)
SPACE(b)

static void start(motet_target target, motet_start_method method)
{
    motet_process_options options = {};
    options.method = method;
    motet_process *p = motet_process_start_with(target, nullptr, &options);
    motet_process_join(p, MOTET_FOREVER);
    motet_process_free(p);
}

int main(int argc, char **argv)
{
    MOTET_MAIN(argc, argv);
    for (auto method : {MOTET_FORK, MOTET_SPAWN, MOTET_FORKSERVER}) {
        start(a::work, method);
        start(b::work, method);
    }
}
END
g++ -Wall -Wextra -I"$include" -o "$scratch/spaces" "$scratch/spaces.cc" "$build/libmotet.a" || exit 1
is "two namespaces in one file" "$thrice" "$(run "$scratch/spaces")"

# ---- what cannot be, and what helps
compile nomain gcc -DNO_MAIN -DVALUE=2
has "without MOTET_MAIN" "MOTET_MAIN(argc, argv)" "$(run "$scratch/nomain")"
compile early gcc -DEARLY -DVALUE=2
out=$(run "$scratch/early")
has "a constructor starts processes: not in the child" "cannot begin: it" "$out"
has "which ends" "127" "$out"

loader=$(readelf -l "$scratch/program" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
has "started by the loader" "motet_set_executable" "$(run "$loader" "$scratch/program")"
is "started by the loader, but named" "$both" \
    "$(run "$loader" "$scratch/program" "$scratch/program")"

compile other gcc -DVALUE=3
is "another program with the same target" '43
43' "$(run "$scratch/program" "$scratch/other")"
sed 's/answer/question/' "$scratch/program.c" >"$scratch/question.c"
mv "$scratch/question.c" "$scratch/program.c"
compile question gcc -DVALUE=3
has "another program without the target" "does not know its target by MOTET_TASK: answer" \
    "$(run "$scratch/program" "$scratch/question")"

# ---- with more rights than its user has, who could say by the environment what it does
chmod 755 "$scratch"
cp "$(command -v id)" "$scratch/id"
cp "$scratch/program" "$scratch/privileged"
chown 65534 "$scratch/id" "$scratch/privileged" 2>/dev/null
chmod 4755 "$scratch/id" "$scratch/privileged"
if [ "$("$scratch/id" -u)" != "$(id -u)" ]; then
    has "setuid" "does not execute itself: use MOTET_FORK" "$(run "$scratch/privileged")"
    has "setuid, and told that it is a child" "does not execute itself: use MOTET_FORK" \
        "$(MOTET_CHILD=3:4:5:0123456789abcdef run "$scratch/privileged")"
fi

# ---- in a root of its own, where there is no /proc and no /dev, and with a deep TMPDIR
TMPDIR=/tmp/$(printf '%0200d' 0)
export TMPDIR
mkdir -p "$scratch/root$TMPDIR"
if gcc -static -O2 -DVALUE=3 -I"$include" -o "$scratch/root/program" "$scratch/program.c" \
    "$build/libmotet.a" 2>/dev/null && [ "$(id -u)" = 0 ]; then
    has "without /proc" "mount /proc, or name the program with motet_set_executable()" \
        "$(run chroot "$scratch/root" /program)"
    is "without /proc, but named" '43
43' "$(run chroot "$scratch/root" /program /program)"
fi
unset TMPDIR

# ---- under valgrind, with and without its following the children
if command -v valgrind >/dev/null; then
    is "under valgrind" "$both" "$(run valgrind -q "$scratch/program")"
    # It knows no pidfd_open(), so what it runs cannot fork.
    is "under valgrind, children too" 42 \
        "$(run valgrind -q --trace-children=yes "$scratch/program" | head -1)"
fi

tally

#!/bin/sh
# Makes sure that what a make target needs is there. Silent and quick when it is. Otherwise installs
# it with apt as root or through sudo that asks no password; failing that, says in one line what to
# install.
#
#   scripts/install-deps.sh [build] [test] [page] [shells] [bench]
have()
{
    command -v "$1" >/dev/null 2>&1
}

# need TEST-COMMAND PACKAGE...: remembers the packages when the command fails.
missing=
need()
{
    check=$1
    shift
    eval "$check" >/dev/null 2>&1 || missing="$missing $*"
}

header()
{
    find /usr/include /usr/local/include -maxdepth 2 -path "*/$1" 2>/dev/null | grep -q .
}

clang_has_tsan()
{
    # -print-file-name answers with a full path only for what exists.
    machine=$(uname -m)
    clang -print-file-name="libclang_rt.tsan-$machine.a" | grep -q / ||
        clang -print-file-name=libclang_rt.tsan.a | grep -q /
}

look()
{
    missing=
    need "have cc || have gcc" gcc
    need "header stdio.h" libc6-dev
    need "have meson" meson
    need "have ninja" ninja-build
    need "have pkg-config" pkg-config
    for part in "$@"; do
        case $part in
        build) ;;
        test)
            need "have gcc" gcc
            need "have g++" g++
            need "have clang" clang
            need "clang_has_tsan" libclang-rt-14-dev
            need "have clang-format" clang-format
            need "have eu-stack" elfutils
            need "have man" man-db
            need "have groff" groff-base
            need "have col" bsdextrautils
            need "have python3" python3
            need "have patch" patch
            ;;
        page)
            need "have chromium || have google-chrome" chromium
            need "have chromedriver" chromium-driver
            need "have python3" python3
            ;;
        shells)
            need "have zsh" zsh
            need "have fish" fish
            ;;
        bench)
            need "header nsync.h" libnsync-dev
            need "header zmq.h" libzmq3-dev
            need "header boost/version.hpp" libboost-dev
            need "header tbb/task_group.h" libtbb-dev
            need "pkg-config --exists libuv" libuv1-dev
            need "pkg-config --exists glib-2.0" libglib2.0-dev
            need "have python3" python3
            ;;
        *)
            echo "usage: $0 [build] [test] [page] [shells] [bench]" >&2
            exit 2
            ;;
        esac
    done
    [ -z "$missing" ]
}

look "$@" && exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    root="sudo -n"
fi
if have apt-get && $root true 2>/dev/null; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    install()
    {
        # shellcheck disable=SC2086
        $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            $missing >"$log" 2>&1
    }
    log=$(mktemp)
    # The lists of packages may be missing or old: then they are fetched, once.
    install || { $root apt-get update >"$log" 2>&1 && install; } || cat "$log" >&2
    rm -f "$log"
    look "$@" && exit 0
fi
echo "please install:$missing" >&2
exit 1

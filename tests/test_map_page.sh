#!/bin/sh
# The page of --report as a file; what it shows in a browser is for `make test-page`.
# modes: plain asan
. "$(dirname "$0")/map_helpers.sh"

# What Python finds in the data of the page, as `jobs`.
page_says()
{
    python3 - "$dir/page.html" "$1" <<'END'
import json, re, sys
text = open(sys.argv[1], encoding="utf-8", errors="strict").read()
jobs = json.loads(re.search(r'<script type="application/json" id="jobs">(.*?)</script>', text, re.S)[1])
print(eval(sys.argv[2]))
END
}

all_jobs_are_in_it()
{
    map -k -j 2 --retry 1 --retry-delay 0.01 --report "$dir/page.html" sh -c 'echo $1; exit $1' sh ::: 0 3 0
    is "$status" 1
    # Of the second, both attempts.
    is "$(page_says 'sorted((j[0], j[2], j[3], j[6], j[7], j[8], j[11]) for j in jobs)')" \
        "[(1, 1, 0, 'exited', 0, 2, '0'), (2, 1, 1, 'exited', 3, 2, '3'), (2, 2, 0, 'exited', 3, 2, '3'), \
(3, 1, 0, 'exited', 0, 2, '0')]"
    is "$(page_says 'all(0 <= j[4] < 3600 and 0 < j[5] < 3600 and j[1] in (1, 2) for j in jobs)')" True
    has "$dir/page.html" "3 jobs ended, 1 failed."
    [ ! -e "$dir/page.html.part" ] || complain "its first part is left"
    is "$(cat "$out")" "0
3
0"
}

nothing_in_it_ends_the_script()
{
    map -0 --report "$dir/page.html" true '</p><b>' {} ::: '</script><b>' '<!--' "$(printf 'a\377\001"\\b')"
    is "$status" 0
    is "$(grep -c '</script>' "$dir/page.html")" 2
    is "$(page_says 'sorted(j[11] for j in jobs)')" "['<!--', '</script><b>', 'a\\udcff\\x01\"\\\\b']"
    has "$dir/page.html" "&#60;/p&#62;&#60;b&#62;"
    is "$(grep -c '<b>' "$dir/page.html")" 0
}

what_cannot_run_is_in_it()
{
    PATH=/usr/bin:/bin map --report "$dir/page.html" motet-no-such-command ::: a
    is "$(page_says '[(j[6], j[13]) for j in jobs]')" "[('cannot run', 'No such file or directory')]"
}

what_was_stopped_is_in_it()
{
    "$motet" map --report "$dir/page.html" sh -c ': >"$1/runs"; exec sleep 100000' sh ::: "$dir" 2>"$err" &
    runner=$!
    strays=$runner
    wait_until test -e "$dir/runs"
    # Until the run is over there is no page, and an old one stays.
    [ ! -e "$dir/page.html" ] || complain "there is a page"
    holds test -e "$dir/page.html.part"
    kill -INT $runner
    wait $runner
    is $? 130
    is "$(page_says '[j[6] for j in jobs]')" "['stopped']"
}

no_place_for_it()
{
    map --report "$dir/none/page.html" sh -c ': >"$1/ran"' sh ::: "$dir"
    is "$status" 2
    has "$err" "$dir/none/page.html.part: No such file or directory"
    [ ! -e "$dir/ran" ] || complain "it ran"
    mkdir "$dir/folder"
    map --report "$dir/folder" sh -c ': >"$1/ran"' sh ::: "$dir"
    is "$status" 2
    has "$err" "$dir/folder: Is a directory"
    [ ! -e "$dir/ran" ] || complain "it ran before it found the folder"
    # What is no file, such as /dev/null, is left as it is.
    mkfifo "$dir/fifo"
    map --report "$dir/fifo" sh -c ': >"$1/ran"' sh ::: "$dir"
    is "$status" 2
    has "$err" "$dir/fifo: not a file that a page could take the place of"
    holds test -p "$dir/fifo"
    [ ! -e "$dir/ran" ] || complain "it ran before it found the FIFO"
    # Nothing is left when the run does not begin.
    map --report "$dir/page.html" -a "$dir/none" true
    map --report "$dir/page.html" --log "$dir/none/log" true ::: a
    is "$status" 2
    [ ! -e "$dir/page.html.part" ] || complain "its first part is left"
    map --report "$dir/page.html" --dry-run true ::: a
    [ ! -e "$dir/page.html" ] || complain "there is a page"
    seq 100 | (
        ulimit -f 40
        exec "$motet" map --report "$dir/page.html" sh -c : "$(head -c 400 /dev/zero | tr '\0' x)"
    ) 2>"$err"
    is $? 2
    has "$err" "$dir/page.html: "
}

if ! command -v python3 >/dev/null; then
    echo "no python3 to read the page with"
    exit 77
fi
run all_jobs_are_in_it
run nothing_in_it_ends_the_script
run what_cannot_run_is_in_it
run what_was_stopped_is_in_it
run no_place_for_it
finish

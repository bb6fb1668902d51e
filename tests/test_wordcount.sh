#!/bin/sh
# examples/wordcount against a count made with other tools; its errors; and what a death leaves.
# modes: plain asan
cd "$(dirname "$0")/.." || exit 1
bin=${MOTET_EXAMPLES:-}
if [ ! -x "$bin/wordcount" ]; then
    echo "no examples in MOTET_EXAMPLES ($bin)"
    exit 77
fi
. tests/verdict.sh
trap 'chmod -R u+rwx "$scratch"; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
export LC_ALL=C

# ---- wordcount: the same counts as other tools find

# count DIRECTORY: what wordcount should say of it, but the times.
count()
{
    # shellcheck disable=SC2016,SC2018,SC2019
    find "$1" -type f -exec sh -c '
        for file; do
            part=$(head -c 8192 "$file" | wc -c)
            if [ "$(head -c 8192 "$file" | tr -d "\000" | wc -c)" -ne "$part" ]; then
                echo >>"$0/binary"
            else
                echo >>"$0/texts"
                cat "$file" >>"$0/bytes"
                cat "$file"
                echo
            fi
        done' "$scratch" {} + |
        tr 'A-Z' 'a-z' | tr -cs 'a-z0-9_' '\n' | sed '/^$/d' >"$scratch/words"
    touch "$scratch/binary" "$scratch/texts" "$scratch/bytes"
    echo "$(wc -l <"$scratch/texts") text files ($(wc -l <"$scratch/binary") binary," \
        "0 not readable), $(wc -c <"$scratch/bytes") bytes"
    echo "$(wc -l <"$scratch/words") words, $(sort -u "$scratch/words" | wc -l) distinct;" \
        "the same in all three counts"
    sort "$scratch/words" | uniq -c | sort -k1,1nr -k2,2 | head -n 10 |
        awk '{ print $1, substr($2, 1, 60) }'
    rm -f "$scratch/texts" "$scratch/binary" "$scratch/bytes" "$scratch/words"
}

# The same of wordcount's output.
found()
{
    sed -n -e '1,2p' -e '/^ *[0-9]*  [^ ]*$/p' | sed -e 's/^ *//' -e 's/  / /'
}

tree=$scratch/tree
mkdir -p "$tree/sub dir/deeper" "$scratch/empty"
printf 'Hello hello, HELLO world_1 w2-w3\n' >"$tree/plain.txt"
: >"$tree/empty.txt"
printf 'the last line has no end' >"$tree/no end.txt"
printf 'not counted\000not counted\n' >"$tree/binary.bin"
printf 'na\303\257ve caf\303\251 end\n' >"$tree/utf8.txt"
printf 'a name with a line end\n' >"$tree/sub dir/two
lines.txt"
seq 1 40000 >"$tree/numbers.txt" # words across the ends of buffers
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "x"; print " after a long word" }' >"$tree/long.txt"
{
    awk 'BEGIN { for (i = 0; i < 2000; i++) print "filler" }'
    printf 'text\000after\n'
} >"$tree/sub dir/deeper/late.txt"
for i in 1 2 3 4 5 6 7 8 9; do
    awk -v seed=$i 'BEGIN { srand(seed); for (i = 0; i < 3000; i++)
        printf "%s%d%s", i % 3 ? "Word" : "word", int(rand() * rand() * 500), i % 9 ? " " : "\n" }' \
        >"$tree/sub dir/random$i"
done
ln -s plain.txt "$tree/link.txt"
ln -s .. "$tree/sub dir/up"
mkfifo "$tree/fifo"

expected=$(count "$tree")
for workers in 1 2 7; do
    output=$(timeout 100 "$bin/wordcount" -j $workers "$tree" 2>"$scratch/err")
    is "wordcount -j $workers: status" 0 $?
    is "wordcount -j $workers: counts" "$expected" "$(echo "$output" | found)"
    is "wordcount -j $workers: no bar when stderr is no terminal" "" "$(cat "$scratch/err")"
    is "wordcount -j $workers: lines of 80 columns" "" "$(echo "$output" | awk 'length > 80')"
done
is "wordcount: a table of three ways" "alone threads processes" \
    "$(echo "$output" | awk '/^(alone|threads|processes) /{ printf "%s%s", s, $1; s = " " }')"

ln -s "$tree" "$scratch/link"
is "wordcount: a link named as the directory" "$expected" \
    "$(timeout 100 "$bin/wordcount" -j 2 "$scratch/link" 2>&1 | found)"

cp "$tree/plain.txt" "$scratch/empty/"
is "wordcount: two directories" "2 text files (0 binary, 0 not readable), 66 bytes
12 words, 4 distinct; the same in all three counts
6 hello
2 w2
2 w3
2 world_1" "$(mkdir "$scratch/second" && cp "$tree/plain.txt" "$scratch/second" &&
    timeout 100 "$bin/wordcount" "$scratch/empty" "$scratch/second" 2>&1 | found)"
rm "$scratch/empty/plain.txt"

# ---- wordcount: nothing, and errors

output=$(timeout 100 "$bin/wordcount" "$scratch/empty" 2>&1)
is "wordcount of an empty directory: status" 0 $?
is "wordcount of an empty directory" "0 text files (0 binary, 0 not readable), 0 bytes
0 words, 0 distinct; the same in all three counts" "$(echo "$output" | found)"
is "wordcount of an empty directory: no division by 0" "" "$(echo "$output" | grep -iE 'nan|inf')"

output=$(timeout 100 "$bin/wordcount" "$scratch/none" 2>&1)
is "wordcount of no directory: status" 2 $?
is "wordcount of no directory" "wordcount: $scratch/none: No such file or directory" "$output"
for arguments in "-j 0" "-j x" "-x"; do
    # shellcheck disable=SC2086
    timeout 100 "$bin/wordcount" $arguments "$tree" >/dev/null 2>&1
    is "wordcount $arguments: status" 2 $?
done

# What nobody may read: root may read all, so nobody does it.
cp "$bin/wordcount" "$scratch/counter"
as=
if [ "$(id -u)" -eq 0 ]; then
    as="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $as test -x "$scratch/counter" 2>/dev/null || as=none
fi
if [ "$as" != none ]; then
    mkdir -p "$scratch/closed/dir"
    echo one >"$scratch/closed/open.txt"
    echo two >"$scratch/closed/shut.txt"
    echo three >"$scratch/closed/dir/in.txt"
    chmod 000 "$scratch/closed/shut.txt" "$scratch/closed/dir"
    # shellcheck disable=SC2086
    output=$(timeout 100 $as "$scratch/counter" "$scratch/closed" 2>&1)
    is "wordcount of unreadable files: status" 0 $?
    has "wordcount of unreadable files: how many" \
        "1 text files (0 binary, 2 not readable), 4 bytes" "$output"
    has "wordcount of unreadable files: a file" \
        "not readable: $scratch/closed/shut.txt (Permission denied)" "$output"
    has "wordcount of unreadable files: a directory" \
        "not readable: $scratch/closed/dir (Permission denied)" "$output"
    chmod 755 "$scratch/closed/dir"
fi

if command -v script >/dev/null; then
    has "wordcount: a bar on a terminal" "[####" \
        "$(timeout 100 script -qec "'$bin/wordcount' -j 2 '$tree'" /dev/null </dev/null)"
fi

# ---- wordcount: killed

# One file under many names: a long run without much to read.
links=120
[ "${MOTET_MODE:-}" = asan ] && links=30
mkdir "$scratch/large"
seq 1 150000 >"$scratch/large/0"
i=1
while [ $i -lt $links ]; do
    ln "$scratch/large/0" "$scratch/large/$i"
    i=$((i + 1))
done

# How many processes of the copied program there are, once they have had time to end.
left()
{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        n=0
        for exe in /proc/[0-9]*/exe; do
            # shellcheck disable=SC3013
            [ "$exe" -ef "$scratch/counter" ] && n=$((n + 1))
        done
        [ $n -eq 0 ] && break
        sleep 0.5
    done
    echo "$n"
}

for seconds in 0.2 0.6 1.1; do
    timeout -s INT $seconds "$scratch/counter" -j 3 "$scratch/large" >/dev/null 2>&1
    is "wordcount, Ctrl-C after $seconds s: no process is left" 0 "$(left)"
    timeout --foreground -s KILL $seconds "$scratch/counter" -j 3 "$scratch/large" >/dev/null 2>&1
    is "wordcount killed after $seconds s: no process is left" 0 "$(left)"
done

# The children of process $1.
children()
{
    grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3
}

# A worker is killed in the middle of its task: the caller is told.
for _ in 1 2 3 4 5; do
    timeout 200 "$scratch/counter" -j 1 "$scratch/large" >"$scratch/out" 2>"$scratch/err" &
    guard=$! parent="" worker=""
    while kill -0 $guard 2>/dev/null; do
        [ "$parent" ] || parent=$(children $guard)
        [ "$parent" ] && worker=$(children "$parent")
        [ "$worker" ] && break
    done
    [ "$worker" ] && sleep 0.1 && kill -KILL "$worker" 2>/dev/null
    wait $guard
    status=$?
    grep -q killed "$scratch/err" && break
done
is "wordcount, a worker killed: status" 1 "$status"
has "wordcount, a worker killed: the message" \
    "wordcount: task count_batch: worker $worker killed by SIGKILL" "$(cat "$scratch/err")"
is "wordcount, a worker killed: no process is left" 0 "$(left)"

tally

#!/bin/sh
# Runs all examples, with short times, and checks what they print. Whatever varies is taken out first:
# times, numbers of processes and threads, the order of those that run side by side.
# modes: plain asan tsan
cd "$(dirname "$0")/.." || exit 1
bin=${MOTET_EXAMPLES:-}
if [ ! -x "$bin/square" ]; then
    echo "no examples in MOTET_EXAMPLES ($bin)"
    exit 77
fi
. tests/verdict.sh
export LC_ALL=C

# run NAME [ARGUMENT...]: what it prints, and how it ended if not well.
run()
{
    name=$1
    shift
    timeout 120 "$bin/$name" "$@" 2>&1 || echo "$name ended with $?"
}

# Without times and identifiers.
plain()
{
    sed -E -e 's/[0-9]+\.[0-9]+ (s|x)/N \1/g' -e 's/(process|thread) [0-9]+/\1 N/g'
}

# An example that nobody tests is an example that fails.
untested=
for source in examples/*.c; do
    name=$(basename "$source" .c)
    grep -qE "(run|bin/) ?\"?$name" "$0" tests/test_wordcount.sh || untested="$untested $name"
done
is "all examples are tested" "" "$untested"

# ---- first steps

is square "the sum of the squares below 1000 is 332833500
the square of 7 is 49" "$(run square)"

is account "4000 payments, balance 40000
a payer ended with -9
it died holding the lock: 4001 payments, balance 40000
repaired: 4001 payments, balance 40010" "$(run account)"

for kind in threads processes; do
    is "producer_consumer $kind" "1000 items, sum 500500" "$(run producer_consumer $kind)"
done

# ---- threads and processes

rounds="    dance 1 (process N, MainThread)
    dance 1 (process N, dance)
    dance 2 (process N, MainThread)
    dance 2 (process N, dance)
    dance 3 (process N, MainThread)
    dance 3 (process N, dance)
    sing 1 (process N, MainThread)
    sing 1 (process N, sing)
    sing 2 (process N, MainThread)
    sing 2 (process N, sing)
    sing 3 (process N, MainThread)
    sing 3 (process N, sing)"
run sing_dance 0.02 >"$scratch/out"
is "sing_dance: what is done" "$rounds" "$(grep '^    ' "$scratch/out" | plain | sort -u)"
is "sing_dance: how often" 18 "$(grep -c '^    ' "$scratch/out")"
is "sing_dance: how" "one after the other, in process N
one after the other: N s
as two processes, in process N
  sing is process N
  dance is process N
as two processes: N s
as two threads, in process N
  sing is thread N
  dance is thread N
  N threads live
as two threads: N s" \
    "$(grep -v '^    ' "$scratch/out" | plain | sed 's/[0-9] threads live/N threads live/')"
is "sing_dance: in three processes" 3 \
    "$(grep -o '(process [0-9]*' "$scratch/out" | sort -u | wc -l)"

is names "[Downloader] begins
[Last] ends
[MainThread] it is this one
[MainThread] one has a new name: Last
[MainThread] the main thread is MainThread
[MainThread] thread 1 of 3 is MainThread
[MainThread] thread 2 of 3 is Downloader
[MainThread] thread 3 of 3 is Thread-1, a daemon
[MainThread] threads that live: 1
[Thread-1] begins
[Thread-1] ends" "$(run names | sort)"

run downloads 0.1 >"$scratch/out"
is "downloads: the ways" "one after the other
one after the other: N s in all
as two processes
as two processes: N s in all
as two threads
as two threads: N s in all
as two objects
the longer one took N s
as two objects: N s in all" "$(grep -vE '^(begin|end) ' "$scratch/out" | plain)"
is "downloads: each, four times" "4 begin motet.pdf
4 begin voices.mp3
4 end motet.pdf, it took N s
4 end voices.mp3, it took N s" \
    "$(grep -E '^(begin|end) ' "$scratch/out" | plain | sort | uniq -c | sed 's/^ *//')"
is "downloads: one after the other" "begin motet.pdf
end motet.pdf, it took N s
begin voices.mp3
end voices.mp3, it took N s" "$(sed -n 2,5p "$scratch/out" | plain)"

is globals "processes, a global list
  the writer sees 3 items: 0 1 2
  the reader sees 0 items:
  the parent sees 0 items:
threads, a global list
  the writer sees 3 items: 0 1 2
  the reader sees 3 items: 0 1 2
  the main thread sees 3 items: 0 1 2
processes, a list in shared memory
  the writer sees 3 items: 0 1 2
  the reader sees 3 items: 0 1 2
  the parent sees 3 items: 0 1 2" "$(run globals)"

book=guests-$$
for guest in Ann Bob Cid; do
    run guestbook $book $guest &
done
wait
is "guestbook: all have signed" "Ann (process N)
Bob (process N)
Cid (process N)" "$(run guestbook $book | plain | sed 's/^ *[0-9]*\. //' | sort)"
run guestbook $book --burn
is "guestbook: a new one" "" "$(run guestbook $book)"
run guestbook $book --burn

# One cook: a second could come when the kitchen has been closed, and would open another.
kitchen=kitchen-$$
run kitchen $kitchen order soup bread &
orders=$!
run kitchen $kitchen cook >"$scratch/cooked" &
run kitchen $kitchen order fish cake tea
wait $orders
is "kitchen: closes when all is cooked" "" "$(run kitchen $kitchen close)"
wait
is "kitchen: each order is cooked once" "bread
cake
fish
soup
tea" "$(sort "$scratch/cooked")"

for kind in thread process; do
    is "daemons $kind: is waited for" "main ends
the worker begins
the worker ends" "$(run daemons $kind 0.1 | sort)"
    is "daemons daemon-$kind: is not" "main ends
the worker begins" "$(run daemons daemon-$kind 3600 | sort)"
done

run family >"$scratch/out"
is "family: what it says" "parent A
child B, child of A, was given 42
grandchild C, child of B
parent: the child was process B and ended with 7
parent: the number is still 42" "$(awk '
    { for (i = 1; i <= NF; i++) { word = $i; sub(",$", "", word)
        if (word ~ /^[0-9]+$/ && word + 0 > 50) {
            if (!(word in name)) name[word] = substr("ABC", ++n, 1)
            sub(word, name[word], $i) } }
      print }' "$scratch/out")"

is arguments "child: hello Josquin! (1 of 1)
child: hello Orlande? (1 of 3)
child: hello Orlande? (2 of 3)
child: hello Orlande? (3 of 3)
parent: main ends" "$(run arguments | sort)"

is reader "read A
read B
read C
read D
read E
the writer ended with 0
the reader is alive
the reader ended with -15: Terminated" "$(run reader)"

run workers 30 >"$scratch/out"
is "workers: all jobs, once each" "all: 30 jobs, sum 465" "$(tail -n 1 "$scratch/out")"
is "workers: three of them" "worker 0: N jobs, sum N
worker 1: N jobs, sum N
worker 2: N jobs, sum N" "$(sed -e '$d' -e 's/[0-9]* jobs, sum [0-9]*/N jobs, sum N/' "$scratch/out")"

# Two of them talk: each is told its lines by a FIFO, and what comes next only when the last has arrived.
ports=$(python3 -c '
import socket
both = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
for one in both: one.bind(("", 0))
print(*[one.getsockname()[1] for one in both])')
ann=${ports% *} bob=${ports#* }
mkfifo "$scratch/ann.in" "$scratch/bob.in"
: >"$scratch/ann" # now: the child does it when it likes
: >"$scratch/bob"
"$bin/chat" "$ann" "$bob" <"$scratch/ann.in" >>"$scratch/ann" 2>&1 &
"$bin/chat" "$bob" "$ann" <"$scratch/bob.in" >>"$scratch/bob" 2>&1 &
exec 7>"$scratch/ann.in" 8>"$scratch/bob.in"
# tell DESCRIPTOR LINE FILE: says it until it has arrived, since UDP promises nothing.
tell()
{
    for _ in $(seq 600); do
        echo "$2" >&"$1"
        sleep 0.1
        grep -q "says: $2\$" "$3" && return
    done
}
tell 7 "Good morning" "$scratch/bob"
tell 8 "Who is there?" "$scratch/ann"
tell 7 bye "$scratch/bob"
echo bye >&8
exec 7>&- 8>&-
wait
is "chat: what Bob got" "127.0.0.1:$ann says: Good morning
127.0.0.1:$ann says: bye
the receiver ended with -15" "$(uniq "$scratch/bob")"
is "chat: what Ann got" "127.0.0.1:$bob says: Who is there?" "$(head -n 1 "$scratch/ann")"

is stop "by an event: works
by an event: returned 0
by a flag: works
by a flag: returned 0
by cancelling: works
by cancelling: returned Operation canceled" "$(run stop 0.02)"

# A round of an hour: the signal ends it.
for signal in INT TERM; do
    : >"$scratch/out" # now: the child does it when it likes
    "$bin/signals" 3600 >>"$scratch/out" 2>&1 &
    pid=$!
    for _ in $(seq 600); do
        grep -q 'round 1' "$scratch/out" && break
        sleep 0.1
    done
    kill -s $signal $pid
    wait $pid
    is "signals: status after SIG$signal" 0 $?
    is "signals: SIG$signal" "Worker: round 1
MainThread: got SIG$signal
Worker: cleans up
MainThread: the worker has ended" "$(cat "$scratch/out")"
done

is low_level "interrupted by signal 2, in the main thread: yes
job 1 is done
job 1: its ident is what the start returned
job 2 is done
job 2: its ident is what the start returned
job 3 is done
job 3: its ident is what the start returned" "$(run low_level | sort)"

run thread_pool 0.02 >"$scratch/out"
tasks=$(for n in 0 1 2 3 4 5 6 7 8 9; do echo "task $n is done"; done)
is "thread_pool: our own" "$tasks" \
    "$(sed '/built-in/,$d' "$scratch/out" | grep '^task' | sort)"
is "thread_pool: the built-in one" "$tasks" \
    "$(sed '1,/built-in/d' "$scratch/out" | grep '^task' | sort)"
is "thread_pool: the rest" "our own pool
submitted 10, not done yet: N
the built-in pool
the sum of their results: 285" \
    "$(grep -v '^task' "$scratch/out" | sed 's/yet: [0-9]*$/yet: N/')"

is speedup "8 tasks, 1 worker and 3 workers, N processors
computing  one thread N s N x same result
computing  threads N s N x same result
computing  processes N s N x same result
waiting    one thread N s N x same result
waiting    threads N s N x same result
waiting    processes N s N x same result" \
    "$(run speedup 3 0.5 0.01 | plain | sed -E -e 's/ +N/ N/g' -e 's/ +same/ same/' \
        -e 's/[0-9]+ processors/N processors/')"

is pipe "soprano has 7 letters
alto has 4 letters
tenor has 5 letters
bass has 4 letters
the child ended with 0" "$(run pipe)"
# The question after the kill may have been answered before it came.
run pipe kill >"$scratch/out"
is "pipe kill: the answers before" "soprano has 7 letters
alto has 4 letters" "$(sed 2q "$scratch/out")"
is "pipe kill: the end" "the child ended with -9" "$(tail -n 1 "$scratch/out")"
is "pipe kill: it hangs in no answer" 1 "$(grep -c '^no answer' "$scratch/out")"

# ---- pools

is million "the child: the sum is 500000500000
the parent: its exit code is 0
the parent: the future's result is 500000500000" "$(run million)"

# A process does one after the other, and the fifth file waits until one of four has ended.
run download_pool 0.02 >"$scratch/out"
is "download_pool: five, once each" "alto.mp3
bass.mp3
score.pdf
soprano.mp3
tenor.mp3" "$(sed -n 's/^process [0-9]*: end //p' "$scratch/out" | sort)"
is "download_pool: begin and end in turns, score.pdf in the place of another" "ok all is here" "$(awk '
    /: begin / { if (at[$2] || ++n > 4) wrong = 1; at[$2] = $4
        if ($4 == "score.pdf" && !last[$2]) wrong = 1 }
    /: end / { if (at[$2] != $4) wrong = 1; at[$2] = ""; last[$2] = $4; n-- }
    END { print wrong ? "WRONG" : "ok", $0 }' "$scratch/out")"

run pool_of_three 0.01 >"$scratch/out"
is "pool_of_three: ten tasks, once each" "0 1 2 3 4 5 6 7 8 9" \
    "$(sed -nE 's/^[0-9.]+ s: process [0-9]+, Worker-[1-3]: task ([0-9]+) ends$/\1/p' "$scratch/out" |
        sort -n | xargs)"
# A name is that of one process from begin to end, as none dies, and a task ends where it began.
is "pool_of_three: when, and in which process" "ok" "$(awk '
    / task / { if (pid[$5] && pid[$5] != $4) wrong = 1; pid[$5] = $4 }
    / begins$/ { at[$7] = $4 }
    / ends$/ && at[$7] != $4 { wrong = 1 }
    END { print wrong ? "WRONG" : "ok" }' "$scratch/out")"
is "pool_of_three: no more than three at a time" "" "$(awk '
    / begins$/ && ++n > 3; / ends$/ { n-- }' "$scratch/out")"
is "pool_of_three: main waits" "main: ends" "$(tail -n 1 "$scratch/out")"
run pool_of_three 3600 no-join >"$scratch/out"
is "pool_of_three: it does not" "main: submitted ten
main: ends" "$(grep -v ' begins$' "$scratch/out")"

is errors "one: task divide: Numerical argument out of domain (EDOM)
two: task die: worker N killed by SIGKILL
three: 7
a map returns its first error: Numerical argument out of domain" \
    "$(run errors 2>&1 | sed -e '1,/^three tasks/d' -e 's/worker [0-9]*/worker N/')"
is "errors: the process" "the child's exit code: 1
the child: Numerical argument out of domain" "$(run errors | grep child | sort)"

run executors 0.02 >"$scratch/out"
is "executors: the primes, in order" "112272535095293 is prime
112582705942171 is prime
115280095190773 is prime
109972689928419 is not prime
1000003 is prime" "$(sed 5q "$scratch/out")"
is "executors: the pages, in order" "http://slow.example/: is here
http://quick.example/: is here
http://gone.example/: No such file or directory
http://middling.example/: is here" "$(sed -n 6,9p "$scratch/out")"
is "executors: the pages, as they come" "a page of 2000 bytes
a page of 2100 bytes
a page of 2400 bytes
task http://gone.example/: No such file or directory (ENOENT)
the callback was called 4 times" "$(sed 1,9d "$scratch/out" | sort)"

is pi "threads:   3.1415926536
processes: 3.1415926536, the same" "$(run pi "$scratch/timeline")"
is "pi: the timeline has all pieces" 100 "$(python3 -c '
import json, sys
print(sum(e["ph"] == "X" and e["args"]["outcome"] == "ok" for e in json.load(open(sys.argv[1]))))
' "$scratch/timeline")"

# serve KIND CLIENTS: so many at once, each with two lines, in UTF-8 or in GBK. The last stays, and has had its
# answer, when the server is told to end: by one signal, and it ends when that client has gone; or by two.
serve()
{
    timeout 300 python3 - "$bin/tcp_server" "$@" <<'END'
import resource, signal, socket, subprocess, sys

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
program, kind, n = sys.argv[1], sys.argv[2], int(sys.argv[3])

def lines(i):
    return ["你好 %d" % i, "grüße %d" % i if i % 2 else "再见 %d" % i]

def encoding(i):
    return "utf-8" if i % 2 else "gbk"

def answers(texts):
    return "".join("your message “%s” was received, over!\n" % text for text in texts)

def connect(port, i):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall("".join(line + "\n" for line in lines(i)).encode(encoding(i)))
    return client

def talk(signals):
    server = subprocess.Popen([program, kind], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    port = int(server.stdout.readline().split()[1])
    clients = [connect(port, i) for i in range(n)]
    right, log = 0, []
    for i, client in enumerate(clients):
        client.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: client.recv(4096), b""))
        right += got.decode(encoding(i)) == answers(lines(i))
    last = connect(port, 1)
    stream = last.makefile(encoding="utf-8")
    right += stream.readline() + stream.readline() == answers(lines(1))
    for said in ["no more clients", "the end"][:signals]:
        server.send_signal(signal.SIGTERM)
        while not log or log[-1] not in (said, ""): # "": it has ended
            log.append(server.stdout.readline().rstrip("\n"))
    if signals == 1:
        last.shutdown(socket.SHUT_WR)
    log += server.stdout.read().splitlines()
    print(right, "have their answers, it ended with", server.wait())
    got = [line for line in log if line.startswith(("UTF-8: ", "GBK: "))]
    print(len(got), "lines,", len(set(got)), "of them different")
    print(*(line for line in log if line not in got), sep=", ")

talk(1)
n = min(n, 20)
talk(2)
END
}
kinds="threads processes"
case $bin in */tsan/*) kinds=threads ;; esac # ThreadSanitizer starts no threads after a fork
for kind in $kinds; do
    is "tcp_server $kind: a thousand clients" "1001 have their answers, it ended with 0
2002 lines, 2000 of them different
no more clients, 1001 clients, 2002 messages
21 have their answers, it ended with 0
42 lines, 40 of them different" "$(serve $kind 1000 | sed '$d')"
done

# ---- locks and conditions

# That the race loses something is likely each time, and sure in a hundred times.
lost=none
for _ in $(seq 100); do
    run race 20000 >"$scratch/out"
    grep -q '^without a lock: [0-9]* of 40000, some are lost$' "$scratch/out" && lost=some && break
done
is "race: some are lost" some "$lost"
is "race: with a lock" "with a lock: 40000 of 40000
1000 threads deposit 1 each: balance 1000, in N s" "$(sed 1d "$scratch/out" | plain)"

is lock_rlock "Lock, first acquire: acquired
Lock, second acquire: Connection timed out
Lock, release: released
RLock, acquire 1: acquired
RLock, acquire 2: acquired
RLock, acquire 3: acquired
    another thread tries: Connection timed out
RLock, release 1: released
    another thread tries: Connection timed out
RLock, release 2: released
    another thread tries: Connection timed out
RLock, release 3: released
    another thread tries: acquired
RLock, release 4: Operation not permitted" "$(run lock_rlock 0.05)"

# Who gives back, and how often, depends on the machine; that somebody must does not.
run deadlock 0.05 >"$scratch/out"
is "deadlock: a timeout" "Ann has both
Bob has both" "$(sed '/^acquire_all/,$d' "$scratch/out" | grep 'has both' | sort)"
is "deadlock: somebody gives back" yes \
    "$(grep -q '^[AB][a-z]* gives back: Connection timed out$' "$scratch/out" && echo yes)"
is "deadlock: acquire_all" "Ann has had both 1000 times
Bob has had both 1000 times" "$(sed -e '1,/^acquire_all/d' -e '/^a banker/,$d' "$scratch/out" | sort)"
sed '1,/^a banker/d' "$scratch/out" >"$scratch/banker"
is "deadlock: a banker" "has one, and 1 is free
has both
has one, and 1 is free
has both" "$(sed 's/^[AB][a-z]* //' "$scratch/banker")"
is "deadlock: the banker serves one after the other" "Ann Bob" \
    "$(cut -d' ' -f1 "$scratch/banker" | uniq | sort | xargs)"

is dialogue "poster: Good morning! A parcel.
getter: For me? From where?
poster: From over the sea.
getter: How lovely.
poster: Please sign here.
getter: With pleasure.
poster: Goodbye!
getter: Goodbye, and thank you!" "$(run dialogue)"

tally

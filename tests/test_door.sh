#!/bin/sh
# The house: everything that makes schedules differ goes through src/base/, and a floor knows only
# itself and those below it. Comments do not count. One case a rule.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh

# From the cellar up. src/check/ replaces the cellar in the check build and may know all.
floors="base wait sync thread shared process queue pool coroutine remote cluster"

# The files without their comments, under the same paths.
for file in $(find src tools/motet include -name '*.[ch]'); do
    mkdir -p "$scratch/$(dirname "$file")"
    gcc -fpreprocessed -dD -E -P -w -x c "$file" >"$scratch/$file" 2>/dev/null
done
cd "$scratch" || exit 1
: >found
mkdir -p src tools include

# forbid WHAT REGEX: outside the door, and what $outside excepts.
outside=
forbid()
{
    # shellcheck disable=SC2086
    find src tools -name '*.[ch]' ! -path 'src/base/*' ! -path 'src/check/*' $outside \
        -exec grep -HE "$2" {} + >found
    verdict "only src/base/ may use $1"
}

forbid "atomics" '<stdatomic\.h>|\<(__atomic_|__sync_|atomic_(load|store|fetch|exchange|compare|thread|init|flag))|\<_Atomic\>'
forbid "the threads of the system" '<pthread\.h>|<threads\.h>|\<(pthread_|thrd_|mtx_|cnd_|sem_)[a-z]+ *\('
forbid "futexes" '<linux/futex\.h>|\<(SYS|__NR)_futex|\<FUTEX_(WAIT|WAKE|WAIT_BITSET|WAKE_BITSET|WAKE_OP|REQUEUE|CMP_REQUEUE|LOCK_PI|UNLOCK_PI)\>|\<futex *\('
forbid "sleeping" '\<(clock_nanosleep|nanosleep|usleep|timerfd_[a-z]+|setitimer|timer_create) *\(|[^_[:alnum:].>](sleep|alarm) *\('
# The command shows seconds, and the public headers have no clock to give it.
find src -name '*.[ch]' ! -path 'src/base/*' ! -path 'src/check/*' \
    -exec grep -HE '\<(clock_gettime|gettimeofday|timespec_get) *\(|[^_[:alnum:].>]time *\(' {} + >found
verdict "only src/base/ may read clocks"

# The command's own door to what the library has no call for: running another program.
outside="! -path tools/motet/spawn.c ! -path tools/motet/family.c"
forbid "fork and its kin" '[^_[:alnum:].>](fork|vfork|clone|clone3|_Fork|posix_spawnp?|daemon) *\(|\<(SYS|__NR)_(clone|clone3|fork|vfork)\>'
forbid "system calls by number" '\<syscall *\('
outside=

# Names in the file system would outlive a killed family.
grep -rE '\<(shm_open|sem_open|mq_open|shmget|semget|msgget) *\(' src tools >found
verdict "nothing may leave names behind"

# Each floor includes headers of itself and of those below.
below=
for floor in $floors; do
    below="$below${below:+|}$floor"
    [ -d "src/$floor" ] || continue
    door=
    [ "$floor" = base ] && door="|check/door\\.h" # what the check build has in the place of the cellar
    grep -rE '^#include "' "src/$floor" --include='*.[ch]' |
        grep -vE "#include \"((($below)|motet)/[^\"]*$door)\"|#include \"motet.h\"" >found
    verdict "src/$floor/ may include only the headers of $(echo "$below" | tr '|' ' ')"
done

for dir in src/*/; do
    floor=$(basename "$dir")
    case " $floors check * " in
    *" $floor "*) ;;
    *) echo "$dir: which floor is that? The list is in tests/test_door.sh" >>found ;;
    esac
done
verdict "every folder of src/ is a floor"

# The command is a program like any user's; quotes are for its own headers.
grep -rE '^#include ["<](base|wait|sync|thread|shared|process|queue|pool|check|src)/|^#include ".*\.\./' \
    tools >found
verdict "tools/ may use only the public headers"

grep -rE '^#include "' include >found
verdict "public headers include with <>"
grep -rE '^#include <' include |
    grep -vE '<(motet/[a-z_]+\.h|(errno|limits|stdarg|stdbool|stddef|stdint|stdio|time|sys/types|signal)\.h)>' \
        >found
verdict "public headers include only public and standard ones"

tally

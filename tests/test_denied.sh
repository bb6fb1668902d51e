#!/bin/sh
# Programs of tests, run where the system knows or permits less than here: an older kernel, and a container
# that forbids what it does not know. (What needs a call, and says so, is in test_fault_limits.c.)
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
export LC_ALL=C

cat >"$scratch/deny.c" <<'END'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DENY(call)                                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),                                               \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error)

/* deny ERROR PROGRAM [ARGUMENT...]: the program, for which all the calls fail with that error. */
int main(int argc, char **argv)
{
    int error = argc > 2 ? atoi(argv[1]) : 0;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(449), /* futex_waitv */
        DENY(error == ENOSYS ? 435 : ~0U), /* clone3: the C library starts no thread where it is forbidden */
        DENY(436), /* close_range */
        DENY(SYS_membarrier),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    if (syscall(449, NULL, 0, 0, NULL, 0) != -1 || errno != error)
        return 78;
    execv(argv[2], argv + 2);
    return 79;
}
END
gcc -Wall -o "$scratch/deny" "$scratch/deny.c" || exit 1
"$scratch/deny" 38 /bin/true
case $? in
0) ;;
77)
    echo "no seccomp filters here"
    exit 77
    ;;
*) exit 1 ;;
esac

for program in wait lock condition cancel sync_kill process spawn forkserver pool_kill; do
    try "ENOSYS" "$scratch/deny" 38 "$MOTET_BUILD/tests/test_$program"
done
for program in wait cancel sync_kill spawn; do
    try "EPERM" "$scratch/deny" 1 "$MOTET_BUILD/tests/test_$program"
done
tally

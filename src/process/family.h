/* What the files of this floor share: a process as its parent sees it, and how one begins. */
#ifndef MOTET_PROCESS_FAMILY_H
#define MOTET_PROCESS_FAMILY_H

#include "base/process.h"
#include "motet/lock.h"
#include "process/heirloom.h"
#include "process/process.h"

/* The exit code of a child that has exited before it called its target, whatever its own was. */
enum { MOTET__CANNOT_BEGIN = 127 };

enum motet__relation { MOTET__CHILD, MOTET__CURRENT, MOTET__PARENT };

/* Room for "1:5:2", the second child of the fifth of the first; what is longer is cut. */
#define MOTET__IDENTITY 96

struct motet_process {
    uint32_t refs;                 /* atomic; of children only */
    enum motet__relation relation; /* constant, as are the next seven */
    int pid;
    int owner;       /* the process that has started it: a handle is of no use to another */
    uint64_t number; /* counts those that one process starts, from 1 */
    char *name;
    char identity[MOTET__IDENTITY];
    bool daemon;
    bool awaited; /* our exit sees to its end, and does not leave that to its lifeline; constant */
    motet_lock lock; /* guards the next four; the first three are constant once it has ended */
    bool ended;
    bool begun;   /* its target was called: known when it has ended */
    int exitcode; /* its own */
    int pidfd; /* open until the handle goes: it is the sentinel. The parent's: opened when asked for */
    int lifeline; /* our end of the pipe that ends the child with us; -1 once it has ended; under lock */
    struct motet_process *next, *previous; /* in the family, by number; under family.lock */
    bool listed;                           /* under family.lock */
    /* Of one that a server has made, until its end has been seen, under lock: where that is reported, on
     * the server's board, and which server. */
    uint32_t *report;
    struct motet__server *server;
};

/* What a process is told at its birth: what it is to do, and who it is. */
struct motet__life {
    motet_target target;
    void *arg;
    const char *name, *identity;
    bool daemon;
    int parent; /* its parent's number, and name */
    const char *parent_name;
    int lifeline; /* the descriptor of its end */
};

/* The life of a child, from its birth to its end. */
_Noreturn void motet__live(const struct motet__life *life);

/* This process's own name: "MainProcess" in the first. */
const char *motet__own_name(void);

/* A start under way. Each method uses what it needs of the last part. */
struct motet__start {
    motet_target target;
    const void *arg;
    const motet_process_options *options;
    struct motet_process *process; /* with its name */

    void *copy; /* of *arg */
    const struct motet__function *function;
    char *path, **envp; /* what is executed */
    char variable[96];  /* the last of envp */
    uint64_t nonce;
    struct motet__heirloom *heirlooms; /* what the child has beside those of its options */
    size_t heirloom_count;
    int message; /* the descriptor of what the child is told, or -1 */
    int arena;   /* that of the arena, lent */
};

/* A way to start. `prepare` makes ready, and finds out beforehand what is missing; `begin_locked` makes
 * the child, and fills in its number, pidfd and lifeline; `done` gives back what the first took, also
 * when that failed. 0 or an errno value, of which motet_last_error may know more. */
struct motet__method {
    int (*prepare)(struct motet__start *start);
    int (*begin_locked)(struct motet__start *start); /* under family.lock */
    void (*done)(struct motet__start *start);
};

extern const struct motet__method motet__fork_method, motet__spawn_method, motet__server_method;

/* A child that is in no family: the server. NULL: ENOMEM. */
struct motet_process *motet__process_new(const char *name);

/* What spawn does and the server too: finds what the program lacks, and the target's name unless
 * start->function is there; writes what the child is told; and, in the child, does it. */
struct motet__launch;
int motet__spawn_check(struct motet__start *start);
int motet__spawn_write(struct motet__start *start);
void motet__spawn_unwrite(struct motet__start *start);
int motet__spawn_not_open(void); /* EBADF, explained */
/* In the child: says on stderr that it cannot begin, and why, and ends. */
_Noreturn void motet__spawn_refuse(const struct motet__launch *launch, const char *why,
                                   const char *what);
/* `placed`: it was forked by a server, and has at each number what it was sent. */
_Noreturn void motet__spawn_live(struct motet__launch *launch, int lifeline, bool placed);

/* How a child of a server has ended, as motet__os_reap tells of others. Under process->lock, as is the
 * next: nobody will ask again. */
enum motet__ending motet__server_reap(struct motet_process *process, int *status);
void motet__server_leave(struct motet_process *process);

/* In the child of a fork: the server is its parent's. */
void motet__server_forget(void);

/* Ends this process's server. Its children have ended. */
void motet__server_end(void);

/* In a child that has not come to MOTET_MAIN: says so, and ends it. */
void motet__spawn_guard(void);

#endif

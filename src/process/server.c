/* Children by a server: a process that was spawned when it was small, and forks for us.
 *
 * The server has one thread. It reads messages from its end of a pair of sockets: the file that a spawned
 * child would be told by, the child's end of a lifeline, the word, our directory, stdout and stderr, and
 * what the child is to have. It forks; the child takes these and goes the way of a spawned one from
 * MOTET_MAIN on. The answer has the child's number and pidfd. The child waits for our word, which it gets only when we
 * have the answer: so when the server is killed in between, and we ask a new one, there are not two.
 *
 * The arena is in the server, and so in its children, for it was spawned; what is allocated later lies in
 * the same one mapping, of which only the use grows.
 *
 * The server's children are not ours to wait for, so it tells us how they end: it writes that on a board
 * before it buries them. Where it has been killed first, their pidfd knows, if the kernel is new
 * enough (Linux 6.15), else nobody does. Children do not end with the server. Their lifeline leads to us,
 * and when we die both do. The board is a nameless mapping that only the two have, and not a part of the
 * arena: there, whoever is killed with its server would leave its words behind.
 *
 * A server of which nothing has been heard for a while may have been stopped by somebody. It is ours alone, and all
 * starts wait for it, so it is sent SIGCONT, which does nothing to one that is merely slow. To kill it and
 * take another would cost the exit codes of its children.
 *
 * A server has the rights that its owner had when it was started, and gives them to its children. When the
 * owner's are others, it is retired: a new one takes its place, and it ends with the last of its children.
 *
 * Lock order: family.lock, a process's lock, then `lock`.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/registry.h"
#include "base/spawn.h"
#include "process/launch.h"
#include "sync/lock.h"

/* One server, of which there are several if one was killed or retired. */
struct motet__server {
    uint32_t refs; /* atomic: the current one's, and one for each child that may live */
    struct motet_process *process; /* constant, as are the next three */
    struct motet__rights *rights;  /* what it may do */
    int socket;                    /* closed when it is given up */
    uint32_t *board;               /* a word for each child: see below */
    size_t words;                  /* how many of them are in use, or have been; under lock */
    size_t next;                   /* where to look for a free one; under lock */
    size_t held;                   /* atomic: how many children there are with a word */
    bool is_retired;             /* under lock; constant once the reference of `current` is gone */
    struct motet__server *older; /* among the retired; under lock */
};

#define A_WHILE (MOTET__SECOND / 2)

static motet_lock lock;
static struct motet__server *current; /* under lock: the one to ask, or NULL */
static struct motet__server *retired; /* under lock: those that are there for their children */

/* What is asked. Then come the descriptors, in this order, and those of the user. */
struct request {
    uint64_t nonce;
    uint64_t word; /* which one of the board */
    int32_t out,
        error; /* the places of stdout and stderr among the descriptors; 0: there is none */
};
enum { MESSAGE, LIFELINE, WORD, HERE, OURS };

struct answer {
    int32_t error; /* 0: there is a pidfd with it */
    int32_t pid;
};

/* A word of the board:
 *   AWAITED    a server has been asked for the child, and so may write here. Set by us
 *   HELD       we want to know how it ends. Set by us, cleared by us
 *   REPORTED   it has ended, and the lowest bits say how. Set by the server, once, and it writes no more
 * We may use it for another child when it is not HELD, and not AWAITED or REPORTED. One that is AWAITED and
 * not HELD is of a child that we have given up, because there was no descriptor for its answer. */
enum { REPORTED = 1 << 16, AWAITED = 1 << 17, HELD = 1 << 18, WAS_KILLED = 1 << 8 };

/* As many as there can be processes. They have memory as they come into use, some at a time. */
enum { WORDS = 1 << 22, SOME_WORDS = 4096 / sizeof(uint32_t) };
#define BOARD_SIZE ((size_t)WORDS * sizeof(uint32_t))

/* ---- the server ---- */

/* Its children that have not ended. */
struct ward {
    int pid;
    uint64_t word;
    struct ward *next;
};
enum { WARD_LISTS = 256 };

static struct ward *wards[WARD_LISTS];
static uint32_t *own_board; /* its owner's, at another address */

static void report(struct ward *ward, enum motet__ending ending, int status)
{
    uint32_t *word = &own_board[ward->word];
    uint32_t value = REPORTED | (ending == MOTET__KILLED ? WAS_KILLED : 0) | (uint32_t)status;

    /* Release: pairs with the acquire of who reads it, for whom there is nothing else to see; and not a
     * store, because HELD is not ours. */
    motet__or(word, value, RELEASE);
    motet__wake(word, INT32_MAX, MOTET__SHARED);
}

static void bury_the_dead(void)
{
    enum motet__ending ending;
    int pid, status;

    while ((pid = motet__os_find_dead(&ending, &status)) > 0) {
        for (struct ward **at = &wards[pid % WARD_LISTS]; *at; at = &(*at)->next)
            if ((*at)->pid == pid) {
                struct ward *ward = *at;
                report(ward, ending, status);
                *at = ward->next;
                motet__free(ward);
                break;
            }
        motet__os_bury(pid);
    }
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        motet__os_close(fds[i]);
}

/* Puts each descriptor at its number. Ours that lie at such numbers go elsewhere first: not above all of
 * them, as the highest may be the last that the limit allows. */
static int place(const struct request *request, const struct motet__launch *launch, int *fds,
                 size_t n)
{
    const int *numbers = (const int *)(const void *)motet__launch_text(launch, launch->fds);
    int places[2] = {request->out, request->error};
    int rc = motet__arena_move_off(numbers, launch->fd_count);

    for (size_t i = 0; i < n && rc == 0; i++)
        if (i != WORD)
            rc = motet__os_move_off(&fds[i], numbers, launch->fd_count);
    for (int i = 0; i < 2 && rc == 0; i++) {
        if (places[i])
            rc = motet__os_move(fds[places[i]], i + 1);
        else
            motet__os_close(i + 1);
    }
    for (uint32_t i = 0; i < launch->fd_count && rc == 0; i++)
        rc = motet__os_move(fds[n - launch->fd_count + i], numbers[i]);
    return rc;
}

_Noreturn static void be_child(const struct request *request, int *fds, size_t n)
{
    struct motet__launch *launch = motet__launch_read(fds[MESSAGE], request->nonce);

    if (!launch || launch->fd_count > n - OURS)
        motet__os_exit(MOTET__CANNOT_BEGIN);
    int rc = place(request, launch, fds, n);
    if (rc) {
        if (request->error)
            motet__os_move(fds[request->error], 2);
        motet__spawn_refuse(launch, "its descriptors cannot have their numbers: ", strerror(rc));
    }
    motet__os_go(fds[HERE]);
    int lifeline = fds[LIFELINE];
    for (size_t i = 0; i < n; i++)
        if (i != LIFELINE && i != WORD)
            motet__os_close(fds[i]);
    motet__os_default(SIGINT);
    motet__spawn_live(launch, lifeline, true);
}

/* The server's own descriptors, which are not its children's. */
static int own_fds[2];

static void serve_one(const struct request *request, int *fds, size_t n)
{
    struct ward *ward = motet__alloc(sizeof *ward);
    struct motet__ends ends = {fds[LIFELINE], -1, fds[WORD]};
    struct answer answer = {.error = ENOMEM};
    int pidfd = -1;

    if (ward) {
        int pid = motet__os_fork(&ends, &pidfd);
        if (pid == 0) {
            fds[WORD] = -1; /* it has been given, and is closed */
            close_all(own_fds, 2);
            be_child(request, fds, n);
        }
        answer = (struct answer){pid < 0 ? errno : 0, pid};
        *ward = (struct ward){pid, request->word, pid < 0 ? NULL : wards[pid % WARD_LISTS]};
    }
    if (answer.error == 0)
        wards[answer.pid % WARD_LISTS] = ward;
    else
        motet__free(ward);
    motet__os_send(own_fds[0], &answer, sizeof answer, &pidfd, answer.error == 0);
    if (pidfd >= 0)
        motet__os_close(pidfd);
}

/* What the server is told: its descriptors. */
struct duties {
    int socket, board;
};

static int serve(void *arg)
{
    const struct duties *duties = arg;
    int fds[MOTET__MOST_FDS];
    struct request request;
    size_t n;

    motet__os_flush(); /* what was written before MOTET_MAIN, for children do not write it */
    own_board = motet__map_again(duties->board, NULL, BOARD_SIZE);
    if (!own_board)
        return errno;
    motet__os_close(duties->board);
    motet__keep_from_forks(own_board, BOARD_SIZE);
    own_fds[0] = duties->socket;
    own_fds[1] = motet__os_signal_fd(SIGCHLD);
    motet__os_close_on_exec(own_fds[0]);
    motet__os_ignore(SIGINT); /* what Ctrl-C means is for the parent to say */
    for (;;) {
        motet__pollfd both[2] = {{.fd = own_fds[0]}, {.fd = own_fds[1]}};
        motet__os_poll_many(both, 2, MOTET__NEVER);
        if (both[1].revents) {
            motet__os_signal_fd_clear(own_fds[1]);
            bury_the_dead();
        }
        if (!both[0].revents)
            continue;
        int rc = motet__os_receive(own_fds[0], &request, sizeof request, fds, &n);
        if (rc == EPIPE)
            return 0;
        if (rc == 0 && (n < OURS || request.word >= WORDS))
            rc = EBADMSG;
        if (rc == 0)
            serve_one(&request, fds, n);
        else /* what there was no number for is missing */
            motet__os_send(own_fds[0], &(struct answer){.error = rc == EPROTO ? EMFILE : rc},
                           sizeof(struct answer), NULL, 0);
        close_all(fds, n);
    }
}

static struct motet__function serve_function = {"motet-server", "motet", (motet__any_function)serve,
                                                MOTET__TARGET,  NULL,    NULL};

__attribute__((constructor)) static void add_serve(void)
{
    motet__function_add(&serve_function);
}

/* ---- whom it serves ---- */

/* Nothing was heard of it for a while: if it stands still, it goes on. */
static void nudge(struct motet__server *server)
{
    motet__os_signal(server->process->pidfd, SIGCONT);
}

/* It is dead, or about to die. Not motet_process_join: it is in no family, and that may be locked. */
static void await_death(struct motet__server *server)
{
    int status;

    while (motet__os_poll(server->process->pidfd, motet__now() + A_WHILE) != 0)
        nudge(server);
    motet__os_reap(server->process->pidfd, &status);
}

/* Its children are gone. We may not be allowed to signal it any more, so it hears of that by its lifeline. */
static void end_retired(struct motet__server *server)
{
    motet__lock(&lock);
    struct motet__server **at = &retired;
    while (*at != server)
        at = &(*at)->older;
    *at = server->older;
    motet__unlock(&lock);
    motet__os_mailbox_close(server->socket);
    motet__os_close(server->process->lifeline);
    await_death(server);
}

/* Of a retired one: not under `lock`. */
static void drop(struct motet__server *server)
{
    if (motet__sub(&server->refs, 1, ACQ_REL) != 1)
        return;
    if (server->is_retired)
        end_retired(server);
    motet_process_free(server->process);
    motet__unmap(server->board, BOARD_SIZE);
    motet__free(server->rights);
    motet__free(server);
}

static void bury(struct motet__server *server)
{
    await_death(server);
    motet__os_close(server->process->lifeline);
    drop(server);
}

static bool is_dead(struct motet__server *server)
{
    return motet__os_poll(server->process->pidfd, 0) == 0;
}

/* Under `lock`. */
static void give_up_locked(void)
{
    struct motet__server *server = current;

    current = NULL;
    motet__os_mailbox_close(server->socket);
    motet__os_signal(server->process->pidfd, SIGKILL);
    bury(server);
}

/* Looks whether the server may do what we may, no more and no less. 0 or ENOMEM. Under family.lock, as every
 * start. */
static int retire_if_rights_differ(void)
{
    struct motet__rights *rights = motet__os_rights();
    struct motet__server *old = NULL;

    if (!rights)
        return ENOMEM;
    motet__lock(&lock);
    if (current && !motet__os_rights_same(current->rights, rights)) {
        old = current;
        current = NULL;
        old->is_retired = true;
        old->older = retired;
        retired = old;
    }
    motet__unlock(&lock);
    motet__free(rights);
    if (old)
        drop(old);
    return 0;
}

/* Spawns it. Under family.lock, as every start. */
static int spawn(struct motet__server *server, const struct duties *duties)
{
    int fds[2] = {duties->socket, duties->board};
    motet_process_options options = {.size = sizeof *duties, .fds = fds, .n_fds = 2};
    struct motet__start start = {.arg = duties,
                                 .options = &options,
                                 .process = server->process,
                                 .function = &serve_function,
                                 .message = -1};
    int rc = motet__spawn_method.prepare(&start);

    if (rc == 0)
        rc = motet__spawn_method.begin_locked(&start);
    motet__spawn_method.done(&start);
    return rc;
}

/* Has it begin, with its board and its end of a socket. 0 or an errno value. */
static int equip(struct motet__server *server)
{
    struct motet__file file;
    int ends[2] = {-1, -1};

    server->board = motet__map_shared(NULL, BOARD_SIZE, &file);
    if (!server->board)
        return errno == EMFILE || errno == ENFILE ? errno : ENOMEM;
    motet__keep_from_forks(server->board, BOARD_SIZE);
    int rc = file.fd < 0 ? ENOMEM : motet__os_mailbox(ends);
    if (rc == 0) {
        rc = spawn(server, &(struct duties){ends[1], file.fd});
        motet__os_close(ends[1]);
    }
    if (file.fd >= 0)
        motet__os_close(file.fd);
    server->socket = ends[0];
    if (rc == 0)
        return 0;
    if (ends[0] >= 0)
        motet__os_close(ends[0]);
    motet__unmap(server->board, BOARD_SIZE);
    return rc;
}

/* Under `lock`. */
static int start_server_locked(void)
{
    struct motet__server *server = motet__zalloc(sizeof *server);
    int rc = ENOMEM;

    if (server && (server->rights = motet__os_rights()) &&
        (server->process = motet__process_new("motet-server"))) {
        rc = equip(server);
        if (rc == 0) {
            server->refs = 1;
            current = server;
            return 0;
        }
        motet_process_free(server->process);
    }
    if (server)
        motet__free(server->rights);
    motet__free(server);
    return rc;
}

/* ---- the board ---- */

static bool is_free(const uint32_t *word)
{
    uint32_t value = motet__load(word, ACQUIRE); /* what the server wrote it has written */

    return !(value & HELD) && (!(value & AWAITED) || (value & REPORTED));
}

/* Brings some more words into use. 0, ENOMEM, or EAGAIN: there are no more. Under `lock`. */
static int add_words_locked(struct motet__server *server)
{
    if (server->words == WORDS)
        return EAGAIN;
    int rc = motet__populate(server->board + server->words, SOME_WORDS * sizeof(uint32_t));
    if (rc == 0)
        server->words += SOME_WORDS;
    return rc;
}

/* Takes a free word for a child that is to be asked for: more than half of them are, so it is soon found.
 * 0 or an errno value. Under `lock`. */
static int hold_word_locked(struct motet__server *server, uint32_t **word)
{
    if (2 * motet__load(&server->held, RELAXED) >= server->words) { /* only grows under the lock */
        int rc = add_words_locked(server);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < server->words; i++) {
        uint32_t *at = &server->board[server->next++ % server->words];
        if (!is_free(at))
            continue;
        motet__store(at, AWAITED | HELD, RELAXED); /* the server hears of it by a message */
        motet__add(&server->held, 1, RELAXED);
        *word = at;
        return 0;
    }
    return EAGAIN;
}

/* We want to know no more. `never`: the server has not heard of it, or there is no child. */
static void let_go(struct motet__server *server, uint32_t *word, bool never)
{
    motet__and(word, never ? 0 : ~(uint32_t)HELD, RELAXED);
    motet__sub(&server->held, 1, RELAXED);
}

/* ---- a start ---- */

static int prepare(struct motet__start *start)
{
    int rc = motet__spawn_check(start);

    if (rc)
        return rc;
    rc = motet__spawn_write(start);
    if (rc == 0 && start->options->n_fds + start->heirloom_count > MOTET__MOST_FDS - OURS - 2)
        return motet__explain(EINVAL,
                              "a child of a server gets no more than %d descriptors, those of "
                              "queues with .eof included: use MOTET_SPAWN",
                              MOTET__MOST_FDS - OURS - 2);
    return rc;
}

/* Waits for the answer, or for the server's death: not for the end of its stream, which lasts as long as a
 * child that it has just made has the other end too. */
static int await(struct motet__server *server, struct answer *answer, int *fds, size_t *n)
{
    motet__pollfd both[2] = {{.fd = server->socket}, {.fd = server->process->pidfd}};

    for (;;) {
        motet__os_poll_many(both, 2, motet__now() + A_WHILE);
        if (both[0].revents || both[1].revents)
            break;
        nudge(server);
    }
    return both[0].revents ? motet__os_receive(server->socket, answer, sizeof *answer, fds, n)
                           : EPIPE;
}

/* Asks the server, and has its answer; EPIPE: it is dead. *asked: there is a child, or may be. Under
 * `lock`. */
static int ask_locked(struct motet__start *start, const struct motet__ends *ends, bool *asked)
{
    int fds[MOTET__MOST_FDS] = {
        [MESSAGE] = start->message, [LIFELINE] = ends->childs, [WORD] = ends->word};
    struct request request = {.nonce = start->nonce,
                              .word = (uint64_t)(start->process->report - current->board)};
    struct answer answer;
    size_t n = OURS;
    int here = motet__os_here();

    if (here < 0)
        return errno;
    fds[HERE] = here;
    if (motet__os_is_open(1))
        fds[request.out = (int)n++] = 1;
    if (motet__os_is_open(2))
        fds[request.error = (int)n++] = 2;
    for (size_t i = 0; i < start->options->n_fds; i++)
        fds[n++] = start->options->fds[i];
    motet__heirlooms_lock();
    for (size_t i = 0; i < start->heirloom_count;
         i++) /* one that was closed has another in its place */
        fds[n++] = motet__heirloom_is_there(&start->heirlooms[i]) ? start->heirlooms[i].fd : here;
    /* This waits for nobody: the server has answered all that it was asked before. */
    int rc = motet__os_send(current->socket, &request, sizeof request, fds, n);
    motet__heirlooms_unlock();
    motet__os_close(here);
    *asked = rc == 0;
    if (rc == 0)
        rc = await(current, &answer, fds, &n);
    if (rc)
        return rc == EPROTO ? EMFILE : rc; /* there was no room for the pidfd */
    *asked = answer.error == 0;
    if (answer.error)
        return answer.error;
    start->process->pid = answer.pid;
    start->process->pidfd = motet__os_move_up(fds[0]);
    return start->process->pidfd < 0 ? errno : 0;
}

/* One attempt. Under `lock`. */
static int try_locked(struct motet__start *start)
{
    struct motet_process *process = start->process;
    struct motet__ends ends;
    bool asked = false;
    int rc = current ? 0 : start_server_locked();

    if (rc == 0)
        rc = motet__os_ends_open(&ends, true);
    if (rc)
        return rc;
    rc = hold_word_locked(current, &process->report);
    if (rc == 0) {
        rc = ask_locked(start, &ends, &asked);
        if (rc)
            let_go(current, process->report, !asked);
    }
    if (rc) {
        motet__os_ends_close(&ends); /* which ends the child, if there is one */
        return rc;
    }
    motet__os_ends_begin(&ends);
    process->lifeline = ends.parents;
    process->server = current;
    motet__add(&current->refs, 1, RELAXED); /* one is held by `current` */
    return 0;
}

static int begin_locked(struct motet__start *start)
{
    int rc = retire_if_rights_differ();

    if (rc)
        return rc;

    motet__lock(&lock);
    rc = try_locked(start);
    for (int i = 0; rc == EPIPE && i < 3; i++) { /* it has been killed: another */
        if (current)
            give_up_locked();
        rc = try_locked(start);
    }
    bool asked = current;
    motet__unlock(&lock);
    if (rc == EBADF)
        return motet__spawn_not_open();
    if (rc == ENOTSUP && asked) /* the server's error, which has told only itself more of it */
        return motet__os_no_pidfd();
    if (rc == EPIPE)
        return motet__explain(ECHILD, "the server that starts children dies at once: see what it "
                                      "says on stderr");
    return rc;
}

const struct motet__method motet__server_method = {prepare, begin_locked, motet__spawn_unwrite};

/* ---- an end ---- */

static bool has_report(const struct motet_process *process, uint32_t *value)
{
    *value = motet__load(process->report, ACQUIRE);
    return *value & REPORTED;
}

enum motet__ending motet__server_reap(struct motet_process *process, int *status)
{
    uint32_t value;

    if (motet__os_poll(process->pidfd, 0) == ETIMEDOUT)
        return MOTET__RUNNING;
    /* It has ended; the server is about to say how. A server that is killed first says nothing: the
     * sleep in shared memory ends by itself now and then, to look. */
    while (!has_report(process, &value) && !is_dead(process->server)) {
        motet__wait(process->report, value, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED);
        if (!has_report(process, &value))
            nudge(process->server);
    }
    if (!has_report(process, &value))
        return motet__os_reap(process->pidfd, status);
    *status = value & (WAS_KILLED - 1);
    return value & WAS_KILLED ? MOTET__KILLED : MOTET__EXITED;
}

void motet__server_leave(struct motet_process *process)
{
    let_go(process->server, process->report, false);
    process->report = NULL;
    drop(process->server);
    process->server = NULL;
}

static void forget(struct motet__server *server)
{
    motet__os_close(server->socket);
    motet__os_close(server->process->lifeline);
    motet__os_close(server->process->pidfd);
    server->process->pidfd = -1;
}

void motet__server_forget(void)
{
    lock = (motet_lock)MOTET_LOCK_INIT;
    if (current)
        forget(current);
    for (struct motet__server *server = retired; server; server = server->older)
        forget(server);
    current = retired = NULL;
}

void motet__server_end(void)
{
    struct motet__server *server;

    motet__lock(&lock);
    server = current;
    current = NULL;
    motet__unlock(&lock);
    if (!server)
        return;
    motet__os_mailbox_close(server->socket); /* by which it ends */
    bury(server);
}

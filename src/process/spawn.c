/* Children that begin with a new image of the program, and MOTET_MAIN, where they do.
 *
 * The image is that of /proc/self/exe, the very file that this process executes, though another may have
 * taken its place. Only names cross over: the target is looked up among what the child has registered.
 * What can be known beforehand to be missing is an error of the start; what only the child can find, such
 * as an object that it cannot load, ends it with a line that says so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/registry.h"
#include "base/spawn.h"
#include "base/symbol.h"
#include "process/launch.h"
#include "sync/across_forks.h"
#include "sync/lock.h"

static bool main_passed; /* written by the main thread before it starts anything */
static motet_lock lock;  /* guards the next */
static char *executable; /* motet_set_executable's, or NULL */

MOTET__ACROSS_FORKS(program_fork, .lock = &lock, .order = MOTET__ORDER_PROGRAM);

/* ---- what is executed ---- */

static bool is_loader(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.so", 5) == 0 ||
           strncmp(name, "ld64.so", 7) == 0;
}

/* The path of what this process executes, as a new string. 0 or an errno value, explained. */
static int own_path(char **path)
{
    char text[4096];
    long n = motet__os_own_path(text, sizeof text);

    if (n < 0)
        return motet__explain(ENOTSUP,
                              "this program cannot execute itself, as /proc/self/exe cannot "
                              "be read (%s): mount /proc, or name the program with "
                              "motet_set_executable()",
                              strerror(errno));
    if (n == sizeof text)
        return motet__explain(ENAMETOOLONG, "the path of this program is too long");
    text[n] = '\0';
    if (is_loader(text))
        return motet__explain(ENOTSUP,
                              "this program was started by %s and cannot find itself: start "
                              "it by its own name, or name it with motet_set_executable()",
                              text);
    /* Not what the link points to: that file may have been replaced. Valgrind is an exception: there
     * the link leads to its own image. */
    *path = motet__strdup(motet__os_under_valgrind() ? text : "/proc/self/exe");
    return *path ? 0 : ENOMEM;
}

static int find_program(char **path)
{
    motet__lock(&lock);
    bool named = executable;
    *path = named ? motet__strdup(executable) : NULL;
    motet__unlock(&lock);
    if (!named)
        return own_path(path);
    return *path ? 0 : ENOMEM;
}

int motet_set_executable(const char *path)
{
    char *copy = path ? motet__strdup(path) : NULL;

    if (path && !*path) {
        motet__free(copy);
        return EINVAL;
    }
    if (path && !copy)
        return ENOMEM;
    motet__lock(&lock);
    char *old = executable;
    executable = copy;
    motet__unlock(&lock);
    motet__free(old);
    return 0;
}

/* ---- the parent's side ---- */

static int check_target(struct motet__start *start)
{
    char place[256];
    void *address;

    start->function = motet__function_of((motet__any_function)start->target, MOTET__TARGET);
    if (start->function)
        return 0;
    memcpy(&address, &start->target, sizeof address);
    motet__symbol(address, place, sizeof place);
    return motet__explain(EINVAL,
                          "the target (%s) is not known by name: write MOTET_TASK(function); "
                          "after its definition, at file scope",
                          place);
}

static int check_program(void)
{
    if (!main_passed)
        return motet__explain(ENOTSUP,
                              "a program that starts processes by spawn or forkserver must "
                              "begin with MOTET_MAIN(argc, argv); as the first statement of "
                              "main()");
    if (motet__os_privileged())
        return motet__explain(ENOTSUP, "a program that was started with more rights than its user "
                                       "has (setuid) does not execute itself: use MOTET_FORK");
    return 0;
}

/* A copy of the environment, with room for one more, which is ours. */
static char **copy_environment(char *ours)
{
    size_t n = 0, at = 0;

    while (environ && environ[n])
        n++;
    char **copy = motet__alloc((n + 2) * sizeof *copy);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], MOTET__VARIABLE "=", strlen(MOTET__VARIABLE) + 1) != 0)
            copy[at++] = environ[i];
    copy[at++] = ours;
    copy[at] = NULL;
    return copy;
}

int motet__spawn_check(struct motet__start *start)
{
    int rc = check_program();

    return rc || start->function ? rc : check_target(start);
}

int motet__spawn_write(struct motet__start *start)
{
    struct motet__inheritance arena;
    int rc = motet__arena_hand_down(&arena);

    if (rc == 0)
        rc = motet__os_random(&start->nonce, sizeof start->nonce);
    if (rc == 0 && start->target) /* the server has none: it would be one that may put */
        rc = motet__heirlooms_list(&start->heirlooms, &start->heirloom_count);
    if (rc)
        return rc;
    start->arena = arena.fd;
    start->message = motet__launch_write(start, &arena);
    return start->message < 0 ? errno : 0;
}

static int prepare(struct motet__start *start)
{
    int rc = motet__spawn_check(start);

    if (rc == 0)
        rc = find_program(&start->path);
    if (rc == 0 && !(start->envp = copy_environment(start->variable)))
        rc = ENOMEM;
    return rc ? rc : motet__spawn_write(start);
}

/* The descriptors that stay open in the child: the user's, the heirlooms, which are locked, and ours at
 * the end. */
static int *list_descriptors(const struct motet__start *start, int lifeline, size_t *n)
{
    const motet_process_options *options = start->options;
    int *list = motet__alloc((options->n_fds + start->heirloom_count + 3) * sizeof *list);

    if (!list)
        return NULL;
    if (options->n_fds)
        memcpy(list, options->fds, options->n_fds * sizeof *list);
    *n = options->n_fds;
    for (size_t i = 0; i < start->heirloom_count; i++)
        if (motet__heirloom_is_there(&start->heirlooms[i]))
            list[(*n)++] = start->heirlooms[i].fd;
    list[(*n)++] = start->message;
    list[(*n)++] = lifeline;
    list[(*n)++] = start->arena;
    return list;
}

int motet__spawn_not_open(void)
{
    return motet__explain(EBADF, "one of the descriptors that the child is to have is not open");
}

/* Under family.lock, and with the heirlooms locked. */
static int execute(struct motet__start *start, const struct motet__ends *ends)
{
    struct motet_process *process = start->process;
    struct motet__luggage luggage = {start->message, ends->childs, start->arena};
    char *argv[] = {program_invocation_name, NULL};
    size_t n;
    int *keep = list_descriptors(start, ends->childs, &n);

    if (!keep)
        return ENOMEM;
    motet__luggage_write(start->variable, sizeof start->variable, &luggage, start->nonce);
    process->pid = motet__os_spawn(
        &(struct motet__exec){start->path, argv, start->envp, keep, n, ends->childs},
        &process->pidfd);
    int rc = process->pid < 0 ? errno : 0;
    motet__free(keep);
    if (rc == EBADF)
        return motet__spawn_not_open();
    if (rc && rc != EAGAIN && rc != ENOMEM && rc != EMFILE && rc != ENFILE)
        return motet__explain(rc, "%s cannot be executed: %s", start->path, strerror(rc));
    return rc;
}

static int begin_locked(struct motet__start *start)
{
    struct motet__ends ends;
    int rc = motet__os_ends_open(&ends, false);

    if (rc)
        return rc;
    motet__heirlooms_lock();
    rc = execute(start, &ends);
    motet__heirlooms_unlock();
    if (rc) {
        motet__os_ends_close(&ends);
        return rc;
    }
    start->process->lifeline = ends.parents;
    motet__os_close(ends.childs);
    return 0;
}

void motet__spawn_unwrite(struct motet__start *start)
{
    if (start->message >= 0)
        motet__os_close(start->message);
    motet__free(start->heirlooms);
    start->message = -1;
    start->heirlooms = NULL;
    start->heirloom_count = 0;
}

static void done(struct motet__start *start)
{
    motet__spawn_unwrite(start);
    motet__free(start->path);
    motet__free(start->envp);
    start->path = NULL;
    start->envp = NULL;
}

const struct motet__method motet__spawn_method = {prepare, begin_locked, done};

/* ---- the child's side ---- */

/* What this process was told at its birth; NULL: nothing. */
static struct motet__launch *find_launch(struct motet__luggage *luggage)
{
    const char *text = getenv(MOTET__VARIABLE);
    uint64_t nonce;

    if (!text || motet__os_privileged() || !motet__luggage_read(text, luggage, &nonce))
        return NULL;
    return motet__launch_read(luggage->message, nonce);
}

_Noreturn void motet__spawn_refuse(const struct motet__launch *launch, const char *why,
                                   const char *what)
{
    fprintf(stderr, "motet: %s (%d) cannot begin: %s%s\n", motet__launch_text(launch, launch->name),
            motet__os_pid(), why, what);
    motet__os_exit(MOTET__CANNOT_BEGIN);
}

void motet__spawn_guard(void)
{
    struct motet__luggage luggage;
    const struct motet__launch *launch = main_passed ? NULL : find_launch(&luggage);

    if (launch)
        motet__spawn_refuse(
            launch,
            "it starts processes before it has come to MOTET_MAIN(argc, argv), which must "
            "be the first statement of main()",
            "");
}

static void attach_arena(const struct motet__launch *launch, int fd)
{
    struct motet__inheritance arena = {fd, (void *)(uintptr_t)launch->arena_base,
                                       (size_t)launch->arena_size};

    if (motet__load(&motet__the_arena, ACQUIRE))
        motet__spawn_refuse(
            launch,
            "it has used shared memory before MOTET_MAIN(argc, argv), which must be the "
            "first statement of main()",
            "");
    int rc = motet__arena_inherit(&arena);
    if (rc == EEXIST)
        motet__spawn_refuse(launch, "something else lies where its shared memory must be", "");
    if (rc)
        motet__spawn_refuse(launch, "its shared memory is not to be had: ", strerror(rc));
}

/* Whether this process executes the same file as its parent. */
static bool is_parents_program(const struct motet__launch *launch)
{
    struct motet__program own;

    motet__os_own_program(&own);
    return own.number && own.number == launch->program.number &&
           own.device == launch->program.device;
}

/* The target, of which there are others of the same name and file, here or in the parent: by where it is in
 * its object, which means nothing in another program. */
static motet__any_function find_in_its_place(const struct motet__launch *launch)
{
    struct motet__site site = {.offset = launch->offset};

    snprintf(site.object, sizeof site.object, "%s", motet__launch_text(launch, launch->object));
    if (!site.object[0] && !is_parents_program(launch))
        return NULL;
    return motet__function_at(motet__launch_text(launch, launch->function),
                              motet__launch_text(launch, launch->file), MOTET__TARGET, &site);
}

static motet_target find_target(const struct motet__launch *launch)
{
    const char *name = motet__launch_text(launch, launch->function),
               *file = motet__launch_text(launch, launch->file),
               *object = motet__launch_text(launch, launch->object), *why;
    motet__any_function fn =
        launch->alone ? motet__function_named(name, file, MOTET__TARGET) : NULL;

    if (!fn && *object && (why = motet__function_load(object)))
        motet__spawn_refuse(launch, "what the parent has its target from cannot be loaded: ", why);
    if (!fn)
        fn = launch->alone ? motet__function_named(name, file, MOTET__TARGET)
                           : find_in_its_place(launch);
    if (fn)
        return (motet_target)fn;
    if (motet__function_known(name, file, MOTET__TARGET))
        motet__spawn_refuse(launch,
                            "several targets have its name, in source files of one name, and "
                            "none of them is known to be where the parent has it: ",
                            name);
    motet__spawn_refuse(launch, "this program does not know its target by MOTET_TASK: ", name);
}

void motet__main(int argc, char **argv)
{
    struct motet__luggage luggage;
    struct motet__launch *launch = main_passed ? NULL : find_launch(&luggage);

    (void)argc;
    (void)argv;
    main_passed = true;
    if (!launch)
        return;
    unsetenv(MOTET__VARIABLE);
    motet__os_close_on_exec(luggage.lifeline);
    motet__os_close_on_exec(luggage.arena);
    motet__os_close(luggage.message);
    attach_arena(launch, luggage.arena);
    motet__spawn_live(launch, luggage.lifeline, false);
}

/* What it executes is not to have them, but children that it starts itself are. One that was closed while it
 * was started is none, and where it would be is nothing, or what a server was sent in its place. */
static void keep_heirlooms(const struct motet__launch *launch, bool placed)
{
    const int *fds = (const int *)(const void *)motet__launch_text(launch, launch->fds);
    const uint64_t *ids = (const uint64_t *)(const void *)motet__launch_text(launch, launch->ids);
    uint32_t others = launch->fd_count - launch->heirloom_count;

    for (uint32_t i = 0; i < launch->heirloom_count; i++) {
        struct motet__heirloom heirloom = {ids[i], fds[others + i]};
        if (!motet__heirloom_is_there(&heirloom)) {
            if (placed)
                motet__os_close(heirloom.fd);
            continue;
        }
        motet__os_close_on_exec(heirloom.fd);
        if (motet__heirlooms_keep(&heirloom.fd, 1, heirloom.id) != 0)
            motet__spawn_refuse(launch, strerror(ENOMEM), "");
    }
}

void motet__spawn_live(struct motet__launch *launch, int lifeline, bool placed)
{
    keep_heirlooms(launch, placed);
    motet__live(&(struct motet__life){
        .target = find_target(launch),
        .arg = launch->arg ? (char *)launch + launch->arg : NULL,
        .name = motet__launch_text(launch, launch->name),
        .identity = motet__launch_text(launch, launch->identity),
        .daemon = launch->daemon,
        .parent = launch->parent,
        .parent_name = motet__launch_text(launch, launch->parent_name),
        .lifeline = lifeline,
    });
}

#include "process/launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/registry.h"

#define MAGIC UINT64_C(0x3368636e75616c6d) /* changes with the layout */
#define ALIGNMENT ((size_t)64)             /* of the argument: enough for any type */

/* A buffer that is first measured, then filled: `at` only grows. */
struct draft {
    char *text; /* NULL while it is measured */
    size_t at;
};

static uint32_t add(struct draft *draft, const void *data, size_t size)
{
    size_t at = draft->at;

    if (draft->text && size)
        memcpy(draft->text + at, data, size);
    draft->at += size;
    return (uint32_t)at;
}

static uint32_t add_text(struct draft *draft, const char *text)
{
    return add(draft, text, strlen(text) + 1);
}

/* Everything but the argument. */
static void draw_up(struct draft *draft, const struct motet__start *start,
                    const struct motet__inheritance *arena, const struct motet__site *site)
{
    const motet_process_options *options = start->options;
    struct motet__launch launch = {.magic = MAGIC, .nonce = start->nonce};

    draft->at = sizeof launch;
    launch.ids = (uint32_t)draft->at;
    for (size_t i = 0; i < start->heirloom_count; i++)
        add(draft, &start->heirlooms[i].id, sizeof start->heirlooms[i].id);
    launch.fds = add(draft, options->fds, options->n_fds * sizeof(int));
    for (size_t i = 0; i < start->heirloom_count; i++)
        add(draft, &start->heirlooms[i].fd, sizeof start->heirlooms[i].fd);
    launch.heirloom_count = (uint32_t)start->heirloom_count;
    launch.fd_count = (uint32_t)(options->n_fds + start->heirloom_count);
    launch.name = add_text(draft, start->process->name);
    launch.identity = add_text(draft, start->process->identity);
    launch.parent_name = add_text(draft, motet__own_name());
    launch.function = add_text(draft, start->function->name);
    launch.file = add_text(draft, start->function->file);
    launch.object = add_text(draft, site->object);
    launch.offset = site->offset;
    launch.alone =
        motet__function_named(start->function->name, start->function->file, MOTET__TARGET) != NULL;
    motet__os_own_program(&launch.program);
    launch.parent = motet__os_pid();
    launch.daemon = options->daemon;
    launch.arena_base = (uintptr_t)arena->base;
    launch.arena_size = arena->size;
    draft->at = (draft->at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    launch.arg = start->arg ? draft->at : 0;
    launch.arg_size = options->size;
    launch.size = draft->at + options->size;
    if (draft->text)
        memcpy(draft->text, &launch, sizeof launch);
}

int motet__launch_write(const struct motet__start *start, const struct motet__inheritance *arena)
{
    struct draft draft = {0};
    struct motet__site site;

    motet__function_site(start->function->fn, &site);
    draw_up(&draft, start, arena, &site);
    if (draft.at > UINT32_MAX) {
        errno = ENOMEM;
        return -1;
    }
    draft.text = motet__zalloc(draft.at);
    if (!draft.text) {
        errno = ENOMEM;
        return -1;
    }
    draw_up(&draft, start, arena, &site);
    struct motet__piece pieces[2] = {{draft.text, draft.at}, {start->arg, start->options->size}};
    int fd = motet__os_message(pieces, 2), error = errno;
    motet__free(draft.text);
    errno = error;
    return fd;
}

/* Whether a text begins there and ends before `end`. */
static bool is_text(const struct motet__launch *launch, uint32_t at, size_t end)
{
    return at >= sizeof *launch && at < end &&
           memchr((const char *)launch + at, 0, end - at) != NULL;
}

static bool is_whole(const struct motet__launch *launch, size_t size, uint64_t nonce)
{
    if (size < sizeof *launch || launch->magic != MAGIC || launch->nonce != nonce ||
        launch->size != size)
        return false;
    if (launch->arg && (launch->arg > size || launch->arg_size > size - launch->arg))
        return false;
    if (launch->fds > size || launch->fd_count > (size - launch->fds) / sizeof(int))
        return false;
    if (launch->ids % sizeof(uint64_t) || launch->ids > size ||
        launch->heirloom_count > (size - launch->ids) / sizeof(uint64_t) ||
        launch->heirloom_count > launch->fd_count)
        return false;
    return is_text(launch, launch->name, size) && is_text(launch, launch->identity, size) &&
           is_text(launch, launch->parent_name, size) && is_text(launch, launch->function, size) &&
           is_text(launch, launch->file, size) && is_text(launch, launch->object, size);
}

struct motet__launch *motet__launch_read(int message, uint64_t nonce)
{
    size_t size;
    struct motet__launch *launch = motet__os_message_map(message, &size);

    if (launch && !is_whole(launch, size, nonce)) {
        motet__unmap(launch, size);
        return NULL;
    }
    return launch;
}

void motet__luggage_write(char *text, size_t size, const struct motet__luggage *luggage,
                          uint64_t nonce)
{
    snprintf(text, size, MOTET__VARIABLE "=%d:%d:%d:%016llx", luggage->message, luggage->lifeline,
             luggage->arena, (unsigned long long)nonce);
}

bool motet__luggage_read(const char *text, struct motet__luggage *luggage, uint64_t *nonce)
{
    unsigned long long number;
    int end = 0;

    if (sscanf(text, "%d:%d:%d:%16llx%n", &luggage->message, &luggage->lifeline, &luggage->arena,
               &number, &end) != 4 ||
        text[end])
        return false;
    *nonce = number;
    return true;
}

/* What a death leaves: see kill_changes.h. */
#include "kill_changes.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"
#include "shared/arena.h"

#define NATIVE (void *)(uintptr_t)

/* What stands behind that word in what the kernel says of a thread; "" if nothing does. */
static void read_status(pid_t tid, const char *word, char *text, size_t size)
{
    char path[64], line[256];

    text[0] = 0;
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *status = fopen(path, "re");
    while (status && !text[0] && fgets(line, sizeof line, status))
        if (strncmp(line, word, strlen(word)) == 0)
            snprintf(text, size, "%.*s", (int)strcspn(line, "\n") - (int)strlen(word) - 1,
                     line + strlen(word) + 1);
    if (status)
        fclose(status);
}

void kill_state(pid_t tid, char *text, size_t size)
{
    read_status(tid, "State:", text, size);
}

pid_t kill_process_of(pid_t tid)
{
    char number[32];

    read_status(tid, "Tgid:", number, sizeof number);
    return *number ? atoi(number) : tid;
}

/* Until it stands still, or has ended; it may not be able to for a while. */
static void wait_for_halt(pid_t pid)
{
    double limit = harness_now() + 1;
    char state[64];

    do {
        kill_state(pid, state, sizeof state);
        if (!state[0] || strchr("TtZX", state[0]))
            return;
        sched_yield();
    } while (harness_now() < limit);
}

void kill_hold_workers(bool still)
{
    enum { MOST = 64 };
    motet_process *children[MOST];
    int n = motet_active_children(children, MOST);

    CHECK(n <= MOST);
    for (int i = 0; i < n; i++)
        kill(motet_process_pid(children[i]), still ? SIGSTOP : SIGCONT);
    for (int i = 0; i < n; i++) {
        if (still)
            wait_for_halt(motet_process_pid(children[i]));
        motet_process_free(children[i]);
    }
}

enum { MOST_AREAS = 256, MOST_THEIRS = 16, LARGE = 16 << 20, BEGINNING = 64 << 10 };

/* Memory that the victim shares with us, as it was at the last look. */
struct area {
    char *at, *copy;
    size_t size;
};
static struct area areas[MOST_AREAS];
static size_t area_count;
static struct area theirs[MOST_THEIRS]; /* what the victim shares with others, and not with us */
static char *their_now[MOST_THEIRS];    /* room for another look at each */
static size_t their_count;
static uintptr_t robust[3]; /* the victim's head of the list by which the kernel finds its locks */

static void add_area(struct area *list, size_t *n, char *at, size_t size)
{
    CHECK(*n < MOST_AREAS);
    list[(*n)++] = (struct area){at, NULL, size};
}

/* What there is of the arena: it is large, and nearly all of it holes. */
static void add_arena(struct area *list, size_t *n, const struct motet__inheritance *arena)
{
    for (off_t from = 0, to; (from = lseek(arena->fd, from, SEEK_DATA)) >= 0; from = to) {
        to = lseek(arena->fd, from, SEEK_HOLE);
        add_area(list, n, (char *)arena->base + from, (size_t)(to - from));
    }
}

/* A line of /proc/PID/maps: whether it is of memory that is shared and can be written. */
static bool read_mapping(const char *line, struct area *area, unsigned long *inode)
{
    char mode[5];
    unsigned long from, to;

    if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &from, &to, mode, inode) != 4)
        return false;
    *area = (struct area){(char *)from, NULL, to - from};
    return mode[1] == 'w' && mode[3] == 's';
}

/* What else is mapped. It does not change while a victim is followed. */
static void add_mappings(struct area *list, size_t *n)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    struct area area;
    unsigned long inode;

    CHECK(maps);
    while (fgets(line, sizeof line, maps))
        if (read_mapping(line, &area, &inode) && area.size <= LARGE)
            add_area(list, n, area.at, area.size);
    fclose(maps);
}

static bool is_ours(unsigned long wanted)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    struct area area;
    unsigned long inode;
    bool found = false;

    while (maps && !found && fgets(line, sizeof line, maps))
        found = read_mapping(line, &area, &inode) && inode == wanted;
    if (maps)
        fclose(maps);
    return found;
}

/* What the victim has mapped so and we have not, such as the board of a fork server, which is large, and of
 * which only the beginning is in use. */
static void find_theirs(pid_t victim)
{
    char path[64], line[4400];
    struct area area;
    unsigned long inode;

    snprintf(path, sizeof path, "/proc/%d/maps", victim);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps))
        if (read_mapping(line, &area, &inode) && area.size <= LARGE && !is_ours(inode)) {
            CHECK(their_count < MOST_THEIRS);
            area.size = area.size < BEGINNING ? area.size : BEGINNING;
            CHECK((area.copy = calloc(1, area.size)));
            CHECK((their_now[their_count] = calloc(1, area.size)));
            theirs[their_count++] = area;
        }
    if (maps)
        fclose(maps);
}

static bool theirs_changed(pid_t victim)
{
    pid_t process = their_count ? kill_process_of(victim) : 0;
    bool changed = false;

    for (size_t i = 0; i < their_count; i++) {
        struct iovec here = {their_now[i], theirs[i].size}, there = {theirs[i].at, theirs[i].size};
        process_vm_readv(process, &here, 1, &there, 1, 0);
        if (memcmp(their_now[i], theirs[i].copy, theirs[i].size) == 0)
            continue;
        changed = true;
        memcpy(theirs[i].copy, their_now[i], theirs[i].size);
    }
    return changed;
}

void kill_forget_changes(void)
{
    for (size_t i = 0; i < area_count; i++)
        free(areas[i].copy);
    for (size_t i = 0; i < their_count; i++) {
        free(theirs[i].copy);
        free(their_now[i]);
    }
    area_count = their_count = 0;
}

/* Whether the areas are no longer these, or not what they were; keeps what they are now. */
static bool areas_changed(const struct area *list, size_t n)
{
    bool same = n == area_count;

    for (size_t i = 0; i < n && same; i++)
        same = list[i].at == areas[i].at && list[i].size == areas[i].size &&
               memcmp(list[i].at, areas[i].copy, list[i].size) == 0;
    if (same)
        return false;
    for (size_t i = 0; i < area_count; i++)
        free(areas[i].copy);
    for (size_t i = 0; i < n; i++) {
        areas[i] = list[i];
        CHECK((areas[i].copy = malloc(list[i].size)));
        memcpy(areas[i].copy, list[i].at, list[i].size);
    }
    area_count = n;
    return true;
}

static bool robust_changed(pid_t pid)
{
    uintptr_t now[3] = {0}, head = 0;
    size_t size = 0;

    if (syscall(SYS_get_robust_list, pid, &head, &size) == 0 && head) {
        struct iovec here = {now, sizeof now}, there = {NATIVE head, sizeof now};
        if (process_vm_readv(kill_process_of(pid), &here, 1, &there, 1, 0) < 0)
            memset(now, 0, sizeof now);
    }
    bool changed = memcmp(now, robust, sizeof now) != 0;
    memcpy(robust, now, sizeof now);
    return changed;
}

bool kill_changed(pid_t victim)
{
    static struct area mappings[MOST_AREAS];
    static size_t mapped;
    struct motet__inheritance arena;
    struct area list[MOST_AREAS];
    size_t n = 0;

    if (area_count == 0) {
        mapped = 0;
        add_mappings(mappings, &mapped);
        find_theirs(victim);
    }
    for (; n < mapped; n++)
        list[n] = mappings[n];
    if (motet__arena_hand_down(&arena) == 0)
        add_arena(list, &n, &arena);
    bool locks = robust_changed(victim), elsewhere = theirs_changed(victim);
    return areas_changed(list, n) || locks || elsewhere;
}

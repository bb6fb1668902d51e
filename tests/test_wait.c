/* src/wait: deadlines, scopes, and what happens where the kernel cannot wait on two words at once. */
#include "deny.h"
#include "harness.h"
#include "timeouts.h"

#include <sys/wait.h>

#include "wait/eventcount.h"
#include "wait/wait.h"

TEST(deadlines)
{
    int64_t deadline;
    EACH(t, bad_timeouts)
    {
        deadline = 5;
        CHECK_INT(motet__deadline(t, &deadline), EINVAL);
        CHECK_INT(deadline, 5);
    }
    EACH(t, short_timeouts)
    {
        int64_t before = motet__now();
        CHECK_INT(motet__deadline(t, &deadline), 0);
        if (t == 0)
            CHECK_INT(deadline, MOTET__AT_ONCE);
        else
            CHECK(deadline >= before && deadline <= motet__now() + 2000000);
    }
    EACH(t, long_timeouts)
    {
        int64_t before = motet__now();
        CHECK_INT(motet__deadline(t, &deadline), 0);
        if (t > 9.3e9) /* 292 years */
            CHECK(deadline == MOTET__NEVER);
        else
            CHECK(deadline > before && (deadline == MOTET__NEVER || deadline - before >= 1e14));
    }
    /* Just below and above what can be counted. */
    for (double t = 9.2e9; t < 9.25e9; t += 1e5) {
        CHECK_INT(motet__deadline(t, &deadline), 0);
        CHECK(deadline > 0);
    }
}

TEST(waits_end_as_they_should)
{
    uint32_t word = 1;
    CHECK_INT(motet__wait(&word, 1, MOTET__AT_ONCE, MOTET__PRIVATE), ETIMEDOUT);
    CHECK_INT(motet__wait(&word, 0, MOTET__NEVER, MOTET__PRIVATE), 0); /* it differs */
    CHECK_INT(motet__wait(&word, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED), 0);
    for (unsigned how = 0; how < 4; how++) {
        int rc;
        int64_t deadline = motet__now() + 20000000;
        while ((rc = motet__wait(&word, 1, deadline, how)) == 0)
            ;
        CHECK_INT(rc, ETIMEDOUT);
        CHECK(motet__now() >= deadline);
        CHECK_INT(motet__wait(&word, 1, 1, how), ETIMEDOUT); /* long past */
    }
    motet__wake(&word, 1, MOTET__PRIVATE); /* nobody there */
    motet__wake(&word, INT32_MAX, MOTET__SHARED);
    errno = EBADMSG;
    motet__wake((uint32_t *)(uintptr_t)4096, 1, MOTET__PRIVATE); /* no memory there */
    motet__wake((uint32_t *)(uintptr_t)4096, 1, MOTET__SHARED);
    CHECK_INT(errno, EBADMSG);
}

/* The belt: a sleeper in shared memory looks again by itself. */
TEST(a_sleeper_in_shared_memory_looks_again)
{
    uint32_t *word = PROCESSES.alloc(sizeof *word);
    double before = harness_now();
    CHECK_INT(motet__wait(word, 0, MOTET__NEVER, MOTET__SHARED), 0);
    CHECK_INT(motet__wait(word, 0, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED), 0);
    CHECK(harness_now() - before < 30);
    PROCESSES.free(word);
}

TEST(scopes)
{
    char on_stack;
    static char in_data;
    char *on_heap = malloc(1), *shared = PROCESSES.alloc(4096);
    CHECK(on_heap);
    CHECK_INT(motet__scope(&on_stack), MOTET__PRIVATE);
    CHECK_INT(motet__scope(&in_data), MOTET__PRIVATE);
    CHECK_INT(motet__scope(on_heap), MOTET__PRIVATE);
    CHECK_INT(motet__scope(NULL), MOTET__PRIVATE);
    CHECK_INT(motet__scope(shared), MOTET__SHARED);
    CHECK_INT(motet__scope(shared + 4095), MOTET__SHARED);
    free(on_heap);
    PROCESSES.free(shared);
}

/* Ranges come, lie side by side, are known from end to end and not beyond, and go again. */
TEST(ranges_of_shared_memory)
{
    enum { PAGE = 4096, N = MOTET__RANGES_MAX };
    char *pages = aligned_alloc(PAGE, (N + 2) * PAGE), *range = pages + PAGE;

    CHECK(pages);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet__scope(&range[i * PAGE]), MOTET__PRIVATE);
        CHECK_INT(motet__scope_add(&range[i * PAGE], PAGE, i % 2), 0);
        CHECK_INT(motet__scope(&range[i * PAGE]), MOTET__SHARED);
        CHECK_INT(motet__scope(&range[i * PAGE + PAGE - 1]), MOTET__SHARED);
        CHECK_INT(motet__scope_foreign(&range[i * PAGE]), i % 2);
        CHECK_INT(motet__scope_add(&range[i * PAGE], PAGE, true), EEXIST);
    }
    CHECK_INT(motet__scope(range - 1), MOTET__PRIVATE);
    CHECK_INT(motet__scope(range + N * PAGE), MOTET__PRIVATE);
    CHECK_INT(motet__scope_add(pages, PAGE, false), ENOMEM);
    for (int i = 0; i < N; i++) {
        CHECK(!motet__scope_remove(&range[i * PAGE], PAGE, !(i % 2)));
        CHECK(motet__scope_remove(&range[i * PAGE], PAGE, i % 2));
        CHECK_INT(motet__scope(&range[i * PAGE]), MOTET__PRIVATE);
        CHECK(motet__plainly_private(range) == (i == N - 1)); /* nobody looks when there is none */
    }
    CHECK_INT(motet__scope_add(pages, (N + 1) * PAGE, false), 0);
    CHECK_INT(motet__scope_add(pages - PAGE, 2 * PAGE, false), EEXIST);
    CHECK_INT(motet__scope_add(range + N * PAGE - PAGE, 3 * PAGE, false), EEXIST);
    CHECK_INT(motet__scope_add(range, PAGE, false), EEXIST);
    CHECK(!motet__scope_remove(pages, N * PAGE, false));
    CHECK(motet__scope_remove(pages, (N + 1) * PAGE, false));
    CHECK_INT(motet__scope(range), MOTET__PRIVATE);
    CHECK(motet__plainly_private(range));
    free(pages);
}

/* One larger than a word can say takes several, or none. */
TEST(huge_ranges_of_shared_memory)
{
    char *base = (char *)(UINT64_C(1) << 44);
    size_t tib = (size_t)1 << 40, size = 3 * tib - 4096;

    CHECK_INT(motet__scope_add(base, size, true), 0);
    for (size_t at = 0; at < size; at += tib / 16)
        CHECK(motet__scope(base + at) == MOTET__SHARED && motet__scope_foreign(base + at));
    CHECK_INT(motet__scope(base + size - 1), MOTET__SHARED);
    CHECK_INT(motet__scope(base + size), MOTET__PRIVATE);
    CHECK_INT(motet__scope(base - 1), MOTET__PRIVATE);
    CHECK(!motet__scope_remove(base, size - tib, true));
    CHECK(motet__scope_remove(base, size, true));
    for (size_t at = 0; at < size; at += tib / 16)
        CHECK_INT(motet__scope(base + at), MOTET__PRIVATE);
    for (int i = 0; i < MOTET__RANGES_MAX - 3; i++)
        CHECK_INT(motet__scope_add((char *)4096 + i * (size_t)4096, 4096, false), 0);
    CHECK_INT(motet__scope_add(base, size, true), ENOMEM);
    for (size_t at = 0; at < size; at += tib / 16)
        CHECK_INT(motet__scope(base + at), MOTET__PRIVATE);
    CHECK_INT(motet__scope_add(base, size - tib - tib / 2, true), 0);
}

/* Whether an address is shared is never mistaken while ranges around it come and go, and its own takes
 * another place in the list. */
enum { MANY = 64, OWN = MANY / 2 }; /* of each two pages the first is a range, or would be */

struct asked {
    motet_event enough;
    char *pages;
};

static char *page(const struct asked *asked, int i)
{
    return asked->pages + (size_t)i * 2 * 4096;
}

static int ask_for_ever(void *arg)
{
    struct asked *asked = *(struct asked **)arg;

    while (!motet_event_is_set(&asked->enough)) {
        CHECK_INT(motet__scope(page(asked, OWN)), MOTET__SHARED);
        CHECK_INT(motet__scope(page(asked, OWN) + 4095), MOTET__SHARED);
        CHECK(!motet__scope_foreign(page(asked, OWN)));
        CHECK_INT(motet__scope(page(asked, OWN) - 1), MOTET__PRIVATE);
        CHECK_INT(motet__scope(page(asked, OWN) + 4096), MOTET__PRIVATE);
    }
    return 0;
}

TEST(ranges_come_and_go_under_readers)
{
    struct asked asked = {MOTET_EVENT_INIT, aligned_alloc(4096, 2 * MANY * 4096)}, *told = &asked;
    bool there[MANY] = {[OWN] = true};
    uint64_t state = harness_seed();
    struct worker *readers[2];

    CHECK(asked.pages);
    CHECK_INT(motet__scope_add(page(&asked, OWN), 4096, false), 0);
    for (int i = 0; i < 2; i++)
        readers[i] = START(&THREADS, ask_for_ever, &told);
    for (long n = stress(100000); n > 0; n--) {
        int i = (int)(harness_random(&state) % MANY);
        if (i == OWN)
            continue;
        if (there[i])
            CHECK(motet__scope_remove(page(&asked, i), 4096, true));
        else
            CHECK_INT(motet__scope_add(page(&asked, i), 4096, true), 0);
        there[i] = !there[i];
    }
    motet_event_set(&asked.enough);
    for (int i = 0; i < 2; i++)
        CHECK_INT(worker_join(readers[i]), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(motet__scope_remove(page(&asked, i), 4096, i != OWN), there[i]);
    CHECK(motet__plainly_private(asked.pages));
    free(asked.pages);
}

/* The number of those that sleep is taken off by those who wake, and by them alone. */
TEST(an_event_count_counts)
{
    struct motet__eventcount ec = {0, 0};
    motet__ec_notify(&ec, 1, MOTET__PRIVATE);
    CHECK_INT(ec.sequence, 0); /* nobody there: nothing touched */
    uint32_t key = motet__ec_prepare(&ec);
    CHECK_INT(motet__ec_prepare(&ec), key);
    CHECK_INT(ec.sleepers, 2);
    motet__ec_notify(&ec, 1, MOTET__PRIVATE);
    CHECK_INT(ec.sleepers, 1);
    CHECK_INT(motet__ec_wait(&ec, key, MOTET__NEVER, MOTET__PRIVATE), 0); /* at once */
    motet__ec_notify(&ec, UINT32_MAX, MOTET__PRIVATE);
    CHECK_INT(ec.sleepers, 0);
    ec.sequence = UINT32_MAX; /* it may come round */
    key = motet__ec_prepare(&ec);
    motet__ec_notify(&ec, 1, MOTET__PRIVATE);
    CHECK_INT(ec.sequence, 0);
    CHECK_INT(motet__ec_wait(&ec, key, MOTET__NEVER, MOTET__PRIVATE), 0);
}

/* ---- no futex_waitv ---- */

/* From now on it fails with that error, in this process and its children. */
static void forbid_waitv(int error)
{
    deny(449, ANY, error);
    CHECK_INT(syscall(449, NULL, 0, 0, NULL, 0), -1);
    CHECK_INT(errno, error);
}

struct scene {
    motet_lock lock;
    motet_condition condition;
    motet_event event;
    motet_semaphore semaphore;
    motet_queue *queue;
    int which;
    int waiting; /* under the condition's lock */
};

static int waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int item, rc;
    switch (s->which) {
    case 0:
        rc = motet_lock_acquire(&s->lock, MOTET_FOREVER);
        return rc ? rc : motet_lock_release(&s->lock);
    case 1:
        return motet_event_wait(&s->event, 1e6);
    case 2:
        return motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER);
    case 3:
        return motet_queue_get(s->queue, &item, MOTET_FOREVER);
    case 4:
        CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
        s->waiting++;
        rc = motet_condition_wait(&s->condition, MOTET_FOREVER);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        return rc;
    default:
        return motet_sleep(s->which == 5 ? MOTET_FOREVER : 0.1);
    }
}

static void wake(struct scene *s)
{
    int item = 1;
    switch (s->which) {
    case 0:
        CHECK_INT(motet_lock_release(&s->lock), 0);
        break;
    case 1:
        CHECK_INT(motet_event_set(&s->event), 0);
        break;
    case 2:
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
        break;
    case 3:
        CHECK_INT(motet_queue_put(s->queue, &item, 0), 0);
        break;
    case 4:
        for (int there = 0; !there; harness_nap()) {
            CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
            there = s->waiting;
            CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
            CHECK_INT(motet_condition_release(&s->condition), 0);
        }
        break;
    }
}

static void check_without_waitv(const struct kind *kind, int error)
{
    forbid_waitv(error);
    for (int which = 0; which <= 6; which++) {
        struct scene *s = kind->alloc(sizeof *s);
        s->queue = motet_queue_open(.item_size = sizeof(int), .shared = kind->shared);
        CHECK(s->queue);
        s->which = which;
        if (which == 0)
            CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
        double before = harness_now();
        struct worker *w = START(kind, waits, &s);
        if (which != 6)
            WAIT_UNTIL(worker_waits(w));
        if (which == 5 && kind->shared) {
            worker_kill(w);
            CHECK_INT(worker_join(w), -9);
        } else if (which == 5) {
            CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
            CHECK_INT(worker_join(w), ECANCELED);
        } else {
            wake(s);
            CHECK_INT(worker_join(w), 0);
        }
        if (which == 6)
            CHECK(harness_now() - before >= 0.1);
        if (!kind->shared && which < 5) { /* and cancelled */
            s->waiting = 0;
            if (which == 0)
                CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
            CHECK_INT(motet_event_clear(&s->event), 0);
            w = START(kind, waits, &s);
            WAIT_UNTIL(worker_waits(w));
            CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
            CHECK_INT(worker_join(w), ECANCELED);
        }
        motet_queue_free(s->queue);
        if (which == 0 && motet_lock_locked(&s->lock))
            CHECK_INT(motet_lock_release(&s->lock), 0);
        kind->free(s);
    }
}

TEST_KINDS(all_works_where_futex_waitv_is_unknown)
{
    check_without_waitv(kind, ENOSYS);
}

TEST_KINDS(all_works_where_futex_waitv_is_forbidden)
{
    check_without_waitv(kind, EPERM);
}

/* Whoever puts_item, gets_item, says done or shuts down is killed, at one instruction after the other, while others
 * sleep in the same queue or use it: every item that was put is there once, and nobody waits for the dead.
 * (What lies in the storages at each of these points is test_queue_kill.c's.) */
#include "kill_sweep.h"

enum {
    MOST = 4,
    ITEMS = 4,
    VICTIMS = 100 /* the first; the second's from 110 on */,
    MANY = 3,
    LATER = 200,
    LOG = 4096,
    LONGEST = 72 /* message */
};

struct scene {
    motet_queue *q;
    motet_shared_memory *m; /* that the queue lies in, or NULL */
    char name[64];          /* of that, */
    size_t maxsize;         /* and of the queue in it, */
    enum motet_queue_order order;
    bool bytes; /* each item is a message that has its number */
    motet_event go;
    long added;             /* atomic: how many the survivors have put, numbered from LATER + 1 */
    int logged;             /* atomic: how many of the log are taken */
    long log[LOG];          /* what the survivors and the test have got */
    struct worker *w[MOST]; /* the survivors */
    int n;
    int deaths_of_getters; /* of each victim and its company: each may have taken one along */
};

static void starts(struct scene *s, motet_target target)
{
    s->w[s->n++] = START(&PROCESSES, target, &s);
}

static void starts_and_sleeps(struct scene *s, motet_target target)
{
    starts(s, target);
    WAIT_UNTIL(worker_waits(s->w[s->n - 1]));
}

static void all_end(struct scene *s, const char *what, long n)
{
    while (s->n > 0)
        CHECK_INT(sweep_ends(s->w[--s->n], what, n), 0);
}

/* ---- items ---- */

static size_t length_of(long item)
{
    return sizeof item + (size_t)item % (LONGEST - sizeof item);
}

static int put_item(const struct scene *s, motet_queue *q, long item, double timeout)
{
    unsigned char message[LONGEST];

    if (!s->bytes)
        return motet_queue_put(q, &item, timeout);
    memset(message, (int)item, sizeof message);
    memcpy(message, &item, sizeof item);
    return motet_queue_put_bytes(q, message, length_of(item), timeout);
}

/* A message comes whole, or not at all. */
static int get_item(const struct scene *s, motet_queue *q, long *item, double timeout)
{
    unsigned char message[LONGEST];
    size_t size;

    if (!s->bytes)
        return motet_queue_get(q, item, timeout);
    int rc = motet_queue_get_bytes_into(q, message, sizeof message, &size, timeout);
    if (rc)
        return rc;
    CHECK(size >= sizeof *item);
    memcpy(item, message, sizeof *item);
    CHECK_INT(size, length_of(*item));
    for (size_t i = sizeof *item; i < size; i++)
        CHECK_INT(message[i], *item & 0xff);
    return 0;
}

static int lowest_first(const void *a, const void *b)
{
    const long *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int lowest_message_first(const void *a, const void *b)
{
    const struct motet_bytes *x = a, *y = b;
    long numbers[2];

    memcpy(&numbers[0], x->data, sizeof numbers[0]);
    memcpy(&numbers[1], y->data, sizeof numbers[1]);
    return lowest_first(&numbers[0], &numbers[1]);
}

/* ---- what the survivors do ---- */

static void note(struct scene *s, long item)
{
    int at = __atomic_fetch_add(&s->logged, 1, __ATOMIC_SEQ_CST);

    CHECK(at < LOG);
    s->log[at] = item;
}

static int gets_one(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    long item;
    int rc = get_item(s, s->q, &item, MOTET_FOREVER);

    if (rc == 0)
        note(s, item);
    return rc;
}

static int gets_one_or_none(void *arg)
{
    int rc = gets_one(arg);

    return rc == EPIPE ? 0 : rc;
}

static void add(struct scene *s, double timeout)
{
    long item = LATER + 1 + __atomic_fetch_add(&s->added, 1, __ATOMIC_SEQ_CST);

    CHECK_INT(put_item(s, s->q, item, timeout), 0);
}

static int puts_one(void *arg)
{
    add(*(struct scene **)arg, MOTET_FOREVER);
    return 0;
}

static int puts_one_or_none(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = put_item(s, s->q, LATER + 1, MOTET_FOREVER);

    CHECK(rc == 0 || rc == EPIPE);
    if (rc == 0)
        __atomic_fetch_add(&s->added, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int gets_again_and_again(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    long item;

    while (!motet_event_is_set(&s->go)) {
        int rc = get_item(s, s->q, &item, 0.001);
        if (rc == 0)
            note(s, item);
        else
            CHECK_INT(rc, ETIMEDOUT);
    }
    return 0;
}

static int puts_again_and_again(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    do
        add(s, MOTET_FOREVER);
    while (motet_event_wait(&s->go, 0.001) != 0);
    return 0;
}

/* Takes one out and puts it back, so that the victim finds all states between. */
static int turns_them_over(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    long item;

    while (!motet_event_is_set(&s->go)) {
        int rc = get_item(s, s->q, &item, 0.001);
        if (rc == 0)
            rc = put_item(s, s->q, item, MOTET_FOREVER);
        CHECK(rc == 0 || rc == ETIMEDOUT);
    }
    return 0;
}

static int joins(void *arg)
{
    return motet_queue_join((*(struct scene **)arg)->q, MOTET_FOREVER);
}

/* ---- what the victim does ---- */

static motet_queue *elsewhere; /* the victim's own, at an address of its own; or NULL */
static motet_shared_memory *segment_elsewhere;

static motet_queue *victims(void *scene)
{
    return elsewhere ? elsewhere : ((struct scene *)scene)->q;
}

static void puts_item(void *scene)
{
    put_item(scene, victims(scene), VICTIMS + 10 * sweep_turn, MOTET_FOREVER);
}

static void gets_item(void *scene)
{
    long item;

    get_item(scene, victims(scene), &item, MOTET_FOREVER);
}

static void puts_many(void *scene)
{
    long items[MANY], first = VICTIMS + 10 * sweep_turn;

    for (int i = 0; i < MANY; i++)
        items[i] = first + i;
    motet_queue_put_many(victims(scene), items, MANY, NULL, MOTET_FOREVER);
}

/* Not for ever: one that died before may have taken along what there was. */
static void gets_many(void *scene)
{
    long items[MANY];
    size_t got;

    motet_queue_get_many(victims(scene), items, MANY, &got, 0.05);
}

static void says_done(void *scene)
{
    motet_queue_task_done(victims(scene));
}

static void shuts_down(void *scene)
{
    motet_queue_shutdown(victims(scene), false);
}

/* ---- scenes ---- */

static struct scene *opened(void *scene, size_t maxsize, enum motet_queue_order order, long items)
{
    struct scene *s = scene;

    s->q = motet_queue_open(.item_size = sizeof(long), .maxsize = maxsize, .order = order,
                            .compare = lowest_first, .shared = true);
    CHECK(s->q);
    for (long i = 1; i <= items; i++)
        CHECK_INT(put_item(s, s->q, i, 0), 0);
    return s;
}

static struct scene *segment(void *scene, size_t maxsize)
{
    struct scene *s = scene;

    s->maxsize = maxsize;
    snprintf(s->name, sizeof s->name, "kill-queue-%d", (int)getpid());
    s->m = motet_shared_memory_create(
        s->name, motet_queue_memory_size(.item_size = s->bytes ? LONGEST : sizeof(long),
                                         .maxsize = maxsize, .order = s->order, .bytes = s->bytes));
    CHECK(s->m);
    return s;
}

static motet_queue *queue_in(const struct scene *s, motet_shared_memory *m)
{
    return motet_queue_open(.item_size = s->bytes ? LONGEST : sizeof(long), .maxsize = s->maxsize,
                            .order = s->order, .bytes = s->bytes,
                            .compare = s->bytes ? lowest_message_first : lowest_first,
                            .memory = motet_shared_memory_data(m),
                            .memory_size = motet_shared_memory_size(m));
}

static struct scene *opened_in_segment(void *scene, size_t maxsize, long items)
{
    struct scene *s = segment(scene, maxsize);

    CHECK((s->q = queue_in(s, s->m)));
    for (long i = 1; i <= items; i++)
        CHECK_INT(put_item(s, s->q, i, 0), 0);
    return s;
}

/* In the victim, before it acts. */
static void has_segment_elsewhere(void *scene)
{
    struct scene *s = scene;

    CHECK((segment_elsewhere = motet_shared_memory_open(s->name)));
    CHECK(motet_shared_memory_data(segment_elsewhere) != motet_shared_memory_data(s->m));
}

static void has_queue_elsewhere(void *scene)
{
    has_segment_elsewhere(scene);
    CHECK((elsewhere = queue_in(scene, segment_elsewhere)));
}

static void opens_queue(void *scene)
{
    elsewhere = queue_in(scene, segment_elsewhere);
}

static void empty_two_sleep(void *scene)
{
    struct scene *s = opened(scene, ITEMS, MOTET_FIFO, 0);

    s->deaths_of_getters = 1; /* the company */
    starts_and_sleeps(s, gets_one);
    starts_and_sleeps(s, gets_one);
}

static void unbounded_one_sleeps(void *scene)
{
    starts_and_sleeps(opened(scene, 0, MOTET_FIFO, 0), gets_one);
}

static void half_full_in_use(void *scene)
{
    starts(opened(scene, ITEMS, MOTET_FIFO, ITEMS / 2), turns_them_over);
}

static void half_full_unbounded_in_use(void *scene)
{
    starts(opened(scene, 0, MOTET_FIFO, ITEMS / 2), turns_them_over);
}

static void half_full_lifo_in_use(void *scene)
{
    starts(opened(scene, ITEMS, MOTET_LIFO, ITEMS / 2), turns_them_over);
}

static void half_full_priority_in_use(void *scene)
{
    starts(opened(scene, ITEMS, MOTET_PRIORITY, ITEMS / 2), turns_them_over);
}

static void full_one_gets(void *scene)
{
    starts(opened(scene, ITEMS, MOTET_FIFO, ITEMS), gets_again_and_again);
}

static void full_two_sleep(void *scene)
{
    struct scene *s = opened(scene, ITEMS, MOTET_FIFO, ITEMS);

    s->deaths_of_getters = 1;
    starts_and_sleeps(s, puts_one);
    starts_and_sleeps(s, puts_one);
}

static void one_fits_one_sleeps(void *scene)
{
    struct scene *s = opened(scene, 1, MOTET_FIFO, 1);

    s->deaths_of_getters = 1;
    starts_and_sleeps(s, puts_one);
}

static void empty_one_puts(void *scene)
{
    struct scene *s = opened(scene, ITEMS, MOTET_FIFO, 0);

    s->deaths_of_getters = 1;
    starts(s, puts_again_and_again);
}

static void no_queue_in_segment(void *scene)
{
    segment(scene, ITEMS);
}

static void no_heap_in_segment(void *scene)
{
    ((struct scene *)scene)->order = MOTET_PRIORITY;
    no_queue_in_segment(scene);
}

static void empty_two_sleep_in_segment(void *scene)
{
    struct scene *s = opened_in_segment(scene, ITEMS, 0);

    s->deaths_of_getters = 1;
    starts_and_sleeps(s, gets_one);
    starts_and_sleeps(s, gets_one);
}

static void half_full_in_use_in_segment(void *scene)
{
    starts(opened_in_segment(scene, ITEMS, ITEMS / 2), turns_them_over);
}

static void half_full_lifo_in_segment(void *scene)
{
    ((struct scene *)scene)->order = MOTET_LIFO;
    half_full_in_use_in_segment(scene);
}

static void half_full_priority_in_segment(void *scene)
{
    ((struct scene *)scene)->order = MOTET_PRIORITY;
    half_full_in_use_in_segment(scene);
}

static void full_one_gets_in_segment(void *scene)
{
    starts(opened_in_segment(scene, ITEMS, ITEMS), gets_again_and_again);
}

static void full_two_sleep_in_segment(void *scene)
{
    struct scene *s = opened_in_segment(scene, ITEMS, ITEMS);

    s->deaths_of_getters = 1;
    starts_and_sleeps(s, puts_one);
    starts_and_sleeps(s, puts_one);
}

/* The same with messages. */
#define WITH_MESSAGES(ready_)                                                                      \
    static void messages_##ready_(void *scene)                                                     \
    {                                                                                              \
        ((struct scene *)scene)->bytes = true;                                                     \
        ready_(scene);                                                                             \
    }

WITH_MESSAGES(no_heap_in_segment)
WITH_MESSAGES(empty_two_sleep_in_segment)
WITH_MESSAGES(half_full_in_use_in_segment)
WITH_MESSAGES(half_full_lifo_in_segment)
WITH_MESSAGES(half_full_priority_in_segment)
WITH_MESSAGES(full_two_sleep_in_segment)

static void full_and_slept_for_in_segment(void *scene)
{
    starts_and_sleeps(opened_in_segment(scene, 1, 1), puts_one_or_none);
}

/* One was got and is to be reported done; three join. */
static void to_be_done(struct scene *s)
{
    long item;

    CHECK_INT(get_item(s, s->q, &item, 0), 0);
    for (int i = 0; i < 3; i++)
        starts_and_sleeps(s, joins);
}

static void one_to_be_done(void *scene)
{
    to_be_done(opened(scene, ITEMS, MOTET_FIFO, 1));
}

static void one_to_be_done_in_segment(void *scene)
{
    to_be_done(opened_in_segment(scene, ITEMS, 1));
}

static void empty_and_full(void *scene)
{
    starts_and_sleeps(opened(scene, 1, MOTET_FIFO, 0), gets_one_or_none);
}

static void full_and_slept_for(void *scene)
{
    starts_and_sleeps(opened(scene, 1, MOTET_FIFO, 1), puts_one_or_none);
}

/* ---- what must be true then ---- */

/* Takes out the rest. Each item is there once; the first ones, but for those that a dead getter may
 * have taken along; the victim's, if it has said so, and of several none without those before it; the
 * survivors'. */
static void count_items(struct scene *s, long items, long victims)
{
    int times[LATER + LOG] = {0};
    long item;

    while (get_item(s, s->q, &item, 0) == 0)
        note(s, item);
    for (int i = 0; i < s->logged; i++) {
        CHECK(s->log[i] > 0 && s->log[i] < LATER + LOG);
        CHECK_INT(times[s->log[i]]++, 0);
    }
    int lost = 0;
    for (long i = 0; i < victims; i++)
        lost += !times[VICTIMS + i];
    for (int i = 1; i < MANY && !s->deaths_of_getters; i++)
        CHECK(times[VICTIMS + i] <= times[VICTIMS + i - 1] &&
              times[VICTIMS + 10 + i] <= times[VICTIMS + 10 + i - 1]);
    for (long i = 1; i <= items; i++)
        lost += !times[i];
    for (long i = 1; i <= s->added; i++)
        lost += !times[LATER + i];
    if (lost > s->deaths_of_getters * sweep_victims)
        FAIL("%d items are lost", lost);
}

static void it_goes(struct scene *s)
{
    motet_queue_free(s->q);
    if (s->m) {
        CHECK_INT(motet_shared_memory_unlink(s->m), 0);
        CHECK_INT(motet_shared_memory_close(s->m), 0);
    }
}

/* As much fits in as ever, and it is in order; then the queue goes. */
static void works_and_goes(struct scene *s, long maxsize)
{
    long item, room = maxsize ? maxsize : 3;

    for (long i = 1; i <= room; i++)
        CHECK_INT(put_item(s, s->q, i, 0), 0);
    if (maxsize)
        CHECK_INT(put_item(s, s->q, 1, 0), ETIMEDOUT);
    for (long i = 1; i <= room; i++)
        CHECK_INT(get_item(s, s->q, &item, 0), 0);
    CHECK_INT(motet_queue_size(s->q), 0);
    it_goes(s);
}

static size_t the_getters_get(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    for (int i = 0, getters = s->n; i < getters; i++)
        add(s, harness_patience());
    all_end(s, "put", n);
    count_items(s, 0, whole);
    works_and_goes(s, 0);
    return 0;
}

static size_t those_who_use_it_go_on(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole;
    CHECK_INT(motet_event_set(&s->go), 0);
    all_end(s, "queue", n);
    return 0;
}

static size_t put_among_two(void *scene, bool whole, long n)
{
    those_who_use_it_go_on(scene, whole, n);
    count_items(scene, ITEMS / 2, whole);
    works_and_goes(scene, ITEMS);
    return 0;
}

static size_t many_put_among_two(void *scene, bool whole, long n)
{
    those_who_use_it_go_on(scene, whole, n);
    count_items(scene, ITEMS / 2, whole ? MANY : 0);
    works_and_goes(scene, 0);
    return 0;
}

static size_t many_put_to_four(void *scene, bool whole, long n)
{
    those_who_use_it_go_on(scene, whole, n);
    count_items(scene, ITEMS, whole ? MANY : 0);
    works_and_goes(scene, ITEMS);
    return 0;
}

static size_t many_got_from_two(void *scene, bool whole, long n)
{
    (void)whole;
    ((struct scene *)scene)->deaths_of_getters = MANY;
    those_who_use_it_go_on(scene, false, n);
    count_items(scene, ITEMS / 2, 0);
    works_and_goes(scene, ITEMS);
    return 0;
}

static size_t got_from_two(void *scene, bool whole, long n)
{
    (void)whole;
    ((struct scene *)scene)->deaths_of_getters = 1;
    return put_among_two(scene, false, n);
}

static size_t put_to_four(void *scene, bool whole, long n)
{
    those_who_use_it_go_on(scene, whole, n);
    count_items(scene, ITEMS, whole);
    works_and_goes(scene, ITEMS);
    return 0;
}

/* Room is made for all who sleep. Of several victims each may have taken one along, so that fewer come out
 * than are put. */
static size_t the_putters_put(struct scene *s, long items, long maxsize, long n)
{
    long item;

    for (int i = 0; i < s->n; i++)
        while (worker_alive(s->w[i]))
            if (get_item(s, s->q, &item, 0.001) == 0)
                note(s, item);
    all_end(s, "get", n);
    count_items(s, items, 0);
    works_and_goes(s, maxsize);
    return 0;
}

static size_t got_from_full(void *scene, bool whole, long n)
{
    (void)whole;
    return the_putters_put(scene, ITEMS, ITEMS, n);
}

static size_t got_from_one(void *scene, bool whole, long n)
{
    (void)whole;
    return the_putters_put(scene, 1, 1, n);
}

static size_t got_from_empty(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    long item;

    (void)whole;
    CHECK_INT(motet_event_set(&s->go), 0);
    while (worker_alive(s->w[0])) /* it may want room */
        if (get_item(s, s->q, &item, 0.001) == 0)
            note(s, item);
    all_end(s, "get", n);
    count_items(s, 0, 0);
    works_and_goes(s, ITEMS);
    return 0;
}

static size_t done_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    size_t left = motet_queue_unfinished(s->q);

    CHECK(left == 0 || (left == 1 && !whole));
    if (left)
        CHECK_INT(motet_queue_task_done(s->q), 0);
    all_end(s, "join", n);
    CHECK_INT(motet_queue_task_done(s->q), EINVAL);
    it_goes(s);
    return 0;
}

static size_t made_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole, (void)n;
    CHECK((s->q = queue_in(s, s->m)));
    CHECK_INT(motet_queue_size(s->q), 0);
    works_and_goes(s, ITEMS);
    return 0;
}

static size_t down_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    long item;

    if (!motet_queue_is_shutdown(s->q)) {
        CHECK(!whole);
        CHECK_INT(motet_queue_shutdown(s->q, false), 0);
    }
    all_end(s, "shutdown", n);
    CHECK_INT(put_item(s, s->q, 1, 0), EPIPE);
    while (get_item(s, s->q, &item, 0) == 0)
        ;
    CHECK_INT(get_item(s, s->q, &item, 0), EPIPE);
    it_goes(s);
    return 0;
}

/* ---- the sweeps ---- */

#define QUEUE_SWEEP(...) SWEEP_OF(NULL, false, __VA_ARGS__)
#define BUSY_SWEEP(...) SWEEP_OF(NULL, true, __VA_ARGS__)
/* The victim has the queue at another address than the others. */
#define SEGMENT_SWEEP(...) SWEEP_OF(has_queue_elsewhere, false, __VA_ARGS__)
#define BUSY_SEGMENT_SWEEP(...) SWEEP_OF(has_queue_elsewhere, true, __VA_ARGS__)
#define MAKING_SWEEP(...) SWEEP_OF(has_segment_elsewhere, false, __VA_ARGS__)
#define SWEEP_OF(before_, busy_, name_, what_, ready_, act_, check_, company_)                     \
    static const struct sweep name_ = {.name = "queue " what_,                                     \
                                       .ready = ready_,                                            \
                                       .before = before_,                                          \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .company = company_,                                        \
                                       .busy = busy_,                                              \
                                       .size = sizeof(struct scene)};                              \
    SWEEP(name_)

QUEUE_SWEEP(put_empty, "put, empty, getters sleep", empty_two_sleep, puts_item, the_getters_get,
            gets_one)
QUEUE_SWEEP(put_unbounded, "put, unbounded, a getter sleeps", unbounded_one_sleeps, puts_item,
            the_getters_get, NULL)
BUSY_SWEEP(put_half_full, "put, half full, in use", half_full_in_use, puts_item, put_among_two,
           NULL)
BUSY_SWEEP(put_half_full_lifo, "put, LIFO, in use", half_full_lifo_in_use, puts_item, put_among_two,
           NULL)
BUSY_SWEEP(put_half_full_priority, "put, PRIORITY, in use", half_full_priority_in_use, puts_item,
           put_among_two, NULL)
BUSY_SWEEP(put_full, "put, full, another gets", full_one_gets, puts_item, put_to_four, NULL)
QUEUE_SWEEP(get_full, "get, full, putters sleep", full_two_sleep, gets_item, got_from_full, NULL)
QUEUE_SWEEP(get_the_only_one, "get, of the only one, a putter sleeps", one_fits_one_sleeps,
            gets_item, got_from_one, NULL)
BUSY_SWEEP(get_half_full, "get, half full, in use", half_full_in_use, gets_item, got_from_two, NULL)
BUSY_SWEEP(get_half_full_lifo, "get, LIFO, in use", half_full_lifo_in_use, gets_item, got_from_two,
           NULL)
BUSY_SWEEP(get_half_full_priority, "get, PRIORITY, in use", half_full_priority_in_use, gets_item,
           got_from_two, NULL)
BUSY_SWEEP(get_empty, "get, empty, another puts", empty_one_puts, gets_item, got_from_empty, NULL)
QUEUE_SWEEP(task_done, "task_done, of the last, some join", one_to_be_done, says_done, done_or_not,
            joins)
QUEUE_SWEEP(shutdown_of_getters, "shutdown, getters sleep", empty_and_full, shuts_down, down_or_not,
            gets_one_or_none)
QUEUE_SWEEP(shutdown_of_putters, "shutdown, putters sleep", full_and_slept_for, shuts_down,
            down_or_not, puts_one_or_none)

BUSY_SWEEP(put_many, "put_many, unbounded, in use", half_full_unbounded_in_use, puts_many,
           many_put_among_two, NULL)
BUSY_SWEEP(put_many_full, "put_many, full, another gets", full_one_gets, puts_many,
           many_put_to_four, NULL)
BUSY_SWEEP(get_many, "get_many, half full, in use", half_full_in_use, gets_many, many_got_from_two,
           NULL)

MAKING_SWEEP(make_in_segment, "open, in zeroed memory", no_queue_in_segment, opens_queue,
             made_or_not, NULL)
SEGMENT_SWEEP(put_empty_in_segment, "put, in a segment, getters sleep", empty_two_sleep_in_segment,
              puts_item, the_getters_get, gets_one)
BUSY_SEGMENT_SWEEP(put_half_full_in_segment, "put, in a segment, in use",
                   half_full_in_use_in_segment, puts_item, put_among_two, NULL)
SEGMENT_SWEEP(get_full_in_segment, "get, in a segment, putters sleep", full_two_sleep_in_segment,
              gets_item, got_from_full, NULL)
BUSY_SEGMENT_SWEEP(get_half_full_in_segment, "get, in a segment, in use",
                   half_full_in_use_in_segment, gets_item, got_from_two, NULL)
BUSY_SEGMENT_SWEEP(put_lifo_in_segment, "put, LIFO, in a segment, in use",
                   half_full_lifo_in_segment, puts_item, put_among_two, NULL)
BUSY_SEGMENT_SWEEP(get_lifo_in_segment, "get, LIFO, in a segment, in use",
                   half_full_lifo_in_segment, gets_item, got_from_two, NULL)
BUSY_SEGMENT_SWEEP(put_priority_in_segment, "put, PRIORITY, in a segment, in use",
                   half_full_priority_in_segment, puts_item, put_among_two, NULL)
BUSY_SEGMENT_SWEEP(get_priority_in_segment, "get, PRIORITY, in a segment, in use",
                   half_full_priority_in_segment, gets_item, got_from_two, NULL)
MAKING_SWEEP(make_heap_in_segment, "open, PRIORITY, in zeroed memory", no_heap_in_segment,
             opens_queue, made_or_not, NULL)
BUSY_SEGMENT_SWEEP(put_many_in_segment, "put_many, in a segment, another gets",
                   full_one_gets_in_segment, puts_many, many_put_to_four, NULL)
BUSY_SEGMENT_SWEEP(get_many_in_segment, "get_many, in a segment, in use",
                   half_full_in_use_in_segment, gets_many, many_got_from_two, NULL)
SEGMENT_SWEEP(task_done_in_segment, "task_done, in a segment, some join", one_to_be_done_in_segment,
              says_done, done_or_not, joins)
SEGMENT_SWEEP(shutdown_in_segment, "shutdown, in a segment, putters sleep",
              full_and_slept_for_in_segment, shuts_down, down_or_not, puts_one_or_none)

MAKING_SWEEP(make_messages_in_segment, "open, of messages, in zeroed memory",
             messages_no_heap_in_segment, opens_queue, made_or_not, NULL)
SEGMENT_SWEEP(put_bytes_in_segment, "put_bytes, in a segment, getters sleep",
              messages_empty_two_sleep_in_segment, puts_item, the_getters_get, gets_one)
BUSY_SEGMENT_SWEEP(put_bytes_half_full_in_segment, "put_bytes, in a segment, in use",
                   messages_half_full_in_use_in_segment, puts_item, put_among_two, NULL)
SEGMENT_SWEEP(get_bytes_full_in_segment, "get_bytes, in a segment, putters sleep",
              messages_full_two_sleep_in_segment, gets_item, got_from_full, NULL)
BUSY_SEGMENT_SWEEP(get_bytes_in_segment, "get_bytes, in a segment, in use",
                   messages_half_full_in_use_in_segment, gets_item, got_from_two, NULL)
BUSY_SEGMENT_SWEEP(put_bytes_lifo_in_segment, "put_bytes, LIFO, in a segment, in use",
                   messages_half_full_lifo_in_segment, puts_item, put_among_two, NULL)
BUSY_SEGMENT_SWEEP(get_bytes_lifo_in_segment, "get_bytes, LIFO, in a segment, in use",
                   messages_half_full_lifo_in_segment, gets_item, got_from_two, NULL)
BUSY_SEGMENT_SWEEP(put_bytes_priority_in_segment, "put_bytes, PRIORITY, in a segment, in use",
                   messages_half_full_priority_in_segment, puts_item, put_among_two, NULL)
BUSY_SEGMENT_SWEEP(get_bytes_priority_in_segment, "get_bytes, PRIORITY, in a segment, in use",
                   messages_half_full_priority_in_segment, gets_item, got_from_two, NULL)

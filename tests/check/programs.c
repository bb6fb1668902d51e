/* Small programs for tests/test_check.sh, chosen by -D: what a run can end in. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <motet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static motet_lock lock __attribute__((unused));
static motet_event event __attribute__((unused));
static int seen __attribute__((unused));

#if defined(OPPOSITE_ORDERS) /* two locks, taken in both orders */
static motet_lock other;

static int one_way(void *arg)
{
    (void)arg;
    motet_with(&lock)
        motet_with(&other)
            seen++;
    return 0;
}

static int first(void *arg)
{
    (void)arg;
    motet_with(&other)
        motet_with(&lock)
            seen++;
    return 0;
}
#define SECOND one_way

#elif defined(ASSERTION) /* the lock is given up between the look and the change */
static int first(void *arg)
{
    int n = 0;

    (void)arg;
    motet_with(&lock)
        n = seen;
    motet_with(&lock)
        seen = n + 1;
    return 0;
}
#define SECOND first
#define AT_END assert(seen == 2)

#elif defined(STATUS)
static int first(void *arg)
{
    (void)arg;
    return motet_event_set(&event);
}

static int wait_a_second(void *arg)
{
    (void)arg;
    seen = motet_event_wait(&event, 1); /* a second may be too short */
    return 0;
}
#define SECOND wait_a_second
#define AT_END return seen == 0 ? 0 : 7

#elif defined(ENDLESS) /* no call of motet is ever reached */
static int first(void *arg)
{
    volatile bool *never = arg;

    while (!*never)
        ;
    return 0;
}
static bool never;
#define ARG &never
#define SECOND first

#elif defined(LOCALS) /* each thread has its own */
static _Thread_local int mine;

static int first(void *arg)
{
    (void)arg;
    for (int i = 1; i <= 3; i++) {
        mine++;
        errno = i;
        motet_with(&lock)
            seen++;
        if (mine != i || errno != i)
            abort();
    }
    return 0;
}
#define SECOND first
#define AT_END assert(seen == 6)

#elif defined(                                                                                     \
    VARIABLES) /* those of motet_local, and handles of threads that were started without */
static motet_local count = {.size = sizeof(int)};

static int touch(void *arg)
{
    int *mine = motet_local_get(&count);

    if (!mine || *mine != 0 || !motet_current_thread())
        abort();
    *mine = 1;
    return arg ? 0 : motet_event_set(&event);
}

static int first(void *arg)
{
    (void)arg;
    return motet_start_new_thread(touch, NULL) ? motet_event_wait(&event, MOTET_FOREVER) : errno;
}

static int second(void *arg)
{
    return touch(&arg);
}
#define SECOND second
#define AT_END assert(touch(&lock) == 0)

#elif defined(STACK) /* what a call stored in its frame is gone when it has returned */
static motet_condition condition = MOTET_CONDITION_ZERO;

static void fill(void)
{
    volatile char block[2000];

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = 1;
    motet_with(&lock)
        seen++;
    for (size_t i = 0; i < sizeof block; i++)
        assert(block[i] == 1);
}

static int first(void *arg)
{
    (void)arg;
    motet_with(&condition) {
        motet_condition_wait(&condition, 1);
        fill();
    }
    return 0;
}
#define SECOND first

#elif defined(FOREIGN) /* a thread that motet does not know */
static void *strange(void *arg)
{
    motet_lock_acquire(&lock, MOTET_FOREVER);
    return arg;
}

static int first(void *arg)
{
    pthread_t thread;

    if (!arg)
        return 0;
    pthread_create(&thread, NULL, strange, NULL);
    pthread_join(thread, NULL);
    return 0;
}
#define ARG &lock
#define SECOND first

#elif defined(HOURS) /* that take no time */
static int first(void *arg)
{
    (void)arg;
    return motet_sleep(3600) || motet_event_wait(&event, 7200) != ETIMEDOUT;
}
#define SECOND first

#elif defined(DUMP) /* says who waits for what */
static int first(void *arg)
{
    (void)arg;
    return motet_event_wait(&event, MOTET_FOREVER);
}

static int second(void *arg)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    (void)arg;
    motet_sleep(1); /* until nobody can go on */
    assert(motet_dump(stream) == 0 && fclose(stream) == 0);
    puts(text);
    assert(strstr(text, "first (") && strstr(text, "waits for event"));
    assert(strstr(text, "MainThread (") && strstr(text, "waits for thread"));
    free(text);
    return motet_event_set(&event);
}
#define SECOND second

#elif defined(SHARED) /* shared memory, of which some is taken and given back */
static int first(void *arg)
{
    char *block[3];

    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        block[i] = motet_shared_alloc(i < 2 ? 40 : 5000);
        assert(block[i] && block[i][39] == 0);
        block[i][39] = 1;
    }
    for (size_t i = 0; i < 3; i++)
        assert(motet_shared_free(block[i]) == 0);
    return 0;
}
#define SECOND first

#elif defined(MESSAGES) /* whoever gets one frees it */
static motet_queue *queue;

static int first(void *arg)
{
    (void)arg;
    return motet_queue_put_bytes(queue, "hello", 6, MOTET_FOREVER) ||
           motet_queue_put_bytes(queue, NULL, 0, MOTET_FOREVER);
}

static int second(void *arg)
{
    (void)arg;
    for (size_t wanted = 6, size; wanted != SIZE_MAX; wanted = wanted ? 0 : SIZE_MAX) {
        void *data;
        if (motet_queue_get_bytes(queue, &data, &size, MOTET_FOREVER))
            return 1;
        assert(size == wanted && memcmp(data, "hello", size) == 0);
        free(data);
    }
    return 0;
}
#define SECOND second
#define AT_BEGIN queue = motet_queue_open(.bytes = true, .shared = MESSAGES)
#define AT_END motet_queue_free(queue)
#endif

#ifndef ARG
#define ARG NULL
#endif

int main(void)
{
#ifdef AT_BEGIN
    AT_BEGIN;
#endif
    motet_thread *a = motet_thread_start(first, ARG, .name = "first");
    motet_thread *b = motet_thread_start(SECOND, ARG, .name = "second");

    if (motet_thread_join(a, MOTET_FOREVER) || motet_thread_join(b, MOTET_FOREVER))
        return 9;
    if (motet_thread_exitcode(a) || motet_thread_exitcode(b))
        return 8;
    motet_thread_free(a);
    motet_thread_free(b);
    printf("all went well\n");
#ifdef AT_END
    AT_END;
#endif
    return 0;
}

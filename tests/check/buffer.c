/* A buffer for one item, between two producers and two consumers, by a condition; with the classic
 * mistake: whoever changes the buffer wakes one of those who wait, who may be the wrong one. A
 * producer that is woken by a producer finds the buffer full and goes to sleep again; the consumer
 * that should have been woken sleeps for ever. With -DRIGHT all are woken.
 *
 *     cc -g buffer.c -lmotet_check -o buffer
 *     MOTET_CHECK=random:10000 ./buffer
 */
#include <motet.h>
#include <stdio.h>

enum { ITEMS = 2 }; /* of each producer */

static motet_condition changed;
static bool full;
static int item, total;

static void wake(void)
{
#ifdef RIGHT
    motet_condition_notify_all(&changed);
#else
    motet_condition_notify(&changed, 1);
#endif
}

static int produce(void *arg)
{
    (void)arg;
    for (int i = 1; i <= ITEMS; i++)
        motet_with(&changed) {
            while (full)
                motet_condition_wait(&changed, MOTET_FOREVER);
            item = i;
            full = true;
            wake();
        }
    return 0;
}

static int consume(void *arg)
{
    (void)arg;
    for (int i = 1; i <= ITEMS; i++)
        motet_with(&changed) {
            while (!full)
                motet_condition_wait(&changed, MOTET_FOREVER);
            total += item;
            full = false;
            wake();
        }
    return 0;
}

int main(void)
{
    motet_thread *threads[] = {
        motet_thread_start(produce, NULL, .name = "producer 1"),
        motet_thread_start(produce, NULL, .name = "producer 2"),
        motet_thread_start(consume, NULL, .name = "consumer 1"),
        motet_thread_start(consume, NULL, .name = "consumer 2"),
    };

    for (int i = 0; i < 4; i++) {
        motet_thread_join(threads[i], MOTET_FOREVER);
        motet_thread_free(threads[i]);
    }
    printf("the sum is %d\n", total);
    return total == 6 ? 0 : 1;
}

/* producer_consumer: `producer_consumer threads` or `producer_consumer processes`. One worker produces,
 * and in the end puts a mark for each of the three that consume from a queue of ten places; the same
 * functions serve both kinds. (Where nobody may put any more, motet_queue_shutdown is the mark.) */
#include <motet.h>
#include <stdio.h>
#include <string.h>

enum { ITEMS = 1000, CONSUMERS = 3, END_MARK = 0 };

struct work {
    motet_queue *queue;
    motet_lock lock;
    long items, sum; /* under lock */
};

static int produce(void *arg)
{
    struct work *work = *(struct work **)arg;
    int rc = 0;
    for (int i = 1; i <= ITEMS && rc == 0; i++)
        rc = motet_queue_put(work->queue, &i, MOTET_FOREVER);
    for (int i = 0; i < CONSUMERS && rc == 0; i++)
        rc = motet_queue_put(work->queue, &(int){END_MARK}, MOTET_FOREVER);
    return rc;
}

static int consume(void *arg)
{
    struct work *work = *(struct work **)arg;
    int item = END_MARK;
    do {
        int rc = motet_queue_get(work->queue, &item, MOTET_FOREVER);
        if (rc)
            return rc;
        motet_with(&work->lock) {
            work->items += item != END_MARK;
            work->sum += item;
        }
        motet_queue_task_done(work->queue);
    } while (item != END_MARK);
    return 0;
}

int main(int argc, char **argv)
{
    bool processes = argc > 1 && strcmp(argv[1], "processes") == 0;
    motet_thread *threads[1 + CONSUMERS] = {0};
    motet_process *children[1 + CONSUMERS] = {0};
    struct work *work = motet_shared_alloc(sizeof *work);
    motet_queue *queue = motet_queue_open(.item_size = sizeof(int), .maxsize = 10, .shared = true);
    if (!work || !queue)
        return 1;
    work->queue = queue;
    for (int i = 0; i <= CONSUMERS; i++) {
        motet_target target = i == 0 ? produce : consume;
        if (processes)
            children[i] = motet_process_start(target, &work, sizeof work);
        else
            threads[i] = motet_thread_start(target, &work);
    }
    for (int i = 0; i <= CONSUMERS; i++) {
        if (processes)
            motet_process_join(children[i], MOTET_FOREVER);
        else
            motet_thread_join(threads[i], MOTET_FOREVER);
        motet_process_free(children[i]); /* NULL is fine */
        motet_thread_free(threads[i]);
    }
    motet_queue_join(queue, MOTET_FOREVER); /* at once: all that was put has been worked on */
    printf("%ld items, sum %ld\n", work->items, work->sum);
    motet_queue_free(queue);
    motet_shared_free(work);
    return 0;
}

/* producer_consumer: `producer_consumer threads` or `producer_consumer processes`. This program
 * produces, three consumers take from a queue of ten places; one function serves both kinds. */
#include <motet.h>
#include <stdio.h>
#include <string.h>

struct work {
    motet_queue *queue;
    motet_lock lock;
    long items, sum; /* under lock */
};

static int consume(void *arg)
{
    struct work *work = *(struct work **)arg;
    int item;
    while (motet_queue_get(work->queue, &item, MOTET_FOREVER) == 0) {
        motet_with(&work->lock) {
            work->items++;
            work->sum += item;
        }
        motet_queue_task_done(work->queue);
    }
    return 0; /* the queue was shut down, and is empty */
}

int main(int argc, char **argv)
{
    bool processes = argc > 1 && strcmp(argv[1], "processes") == 0;
    motet_thread *threads[3] = {0};
    motet_process *children[3] = {0};
    struct work *work = motet_shared_alloc(sizeof *work);
    motet_queue *queue = motet_queue_open(.item_size = sizeof(int), .maxsize = 10, .shared = true);
    if (!work || !queue)
        return 1;
    work->queue = queue;
    for (int i = 0; i < 3; i++)
        if (processes)
            children[i] = motet_process_start(consume, &work, sizeof work);
        else
            threads[i] = motet_thread_start(consume, &work);

    for (int i = 1; i <= 1000; i++)
        motet_queue_put(queue, &i, MOTET_FOREVER);
    motet_queue_join(queue, MOTET_FOREVER); /* all of them have been worked on */
    motet_queue_shutdown(queue, false);     /* no more: the consumers end */
    for (int i = 0; i < 3; i++) {
        if (processes)
            motet_process_join(children[i], MOTET_FOREVER);
        else
            motet_thread_join(threads[i], MOTET_FOREVER);
        motet_process_free(children[i]); /* NULL is fine */
        motet_thread_free(threads[i]);
    }
    printf("%ld items, sum %ld\n", work->items, work->sum);
    motet_queue_free(queue);
    motet_shared_free(work);
    return 0;
}

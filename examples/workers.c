/* workers: three processes draw jobs from one queue until they are told by an event that no more will
 * come and the queue is done. `workers [JOBS]`, default 30. Each says at its end how many it had and
 * what they came to; all together is what it must be, whoever drew which. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 3 };

struct office {
    motet_event no_more;
    motet_queue *jobs;
    struct {
        int jobs;
        long sum;
    } did[WORKERS]; /* each its own: no lock is needed */
};

struct place {
    struct office *office;
    int number;
};

static int work(void *arg)
{
    struct place *place = arg;
    struct office *office = place->office;
    int job;

    /* A short wait, then another look at the event: as one does in Python. A shutdown of the queue would
     * tell them as well, and at once. */
    while (!motet_event_is_set(&office->no_more) || motet_queue_unfinished(office->jobs) > 0) {
        if (motet_queue_get(office->jobs, &job, 0.02) != 0)
            continue;
        office->did[place->number].jobs++;
        office->did[place->number].sum += job;
        motet_sleep(0.001);
        motet_queue_task_done(office->jobs);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int jobs = argc > 1 ? atoi(argv[1]) : 30;
    motet_process *p[WORKERS];
    struct office *office = motet_shared_alloc(sizeof *office);
    if (!office || !(office->jobs = motet_queue_open(.item_size = sizeof(int), .shared = true))) {
        perror("workers");
        return 1;
    }
    for (int i = 0; i < WORKERS; i++) {
        struct place place = {office, i};
        if (!(p[i] = motet_process_start(work, &place, sizeof place))) {
            perror("workers: motet_process_start");
            return 1;
        }
    }
    for (int i = 1; i <= jobs; i++)
        motet_queue_put(office->jobs, &i, MOTET_FOREVER);
    motet_queue_join(office->jobs, MOTET_FOREVER);
    motet_event_set(&office->no_more);

    int done = 0;
    long sum = 0;
    for (int i = 0; i < WORKERS; i++) {
        motet_process_join(p[i], MOTET_FOREVER);
        printf("worker %d: %d jobs, sum %ld\n", i, office->did[i].jobs, office->did[i].sum);
        done += office->did[i].jobs;
        sum += office->did[i].sum;
        motet_process_free(p[i]);
    }
    printf("all: %d jobs, sum %ld\n", done, sum);
    motet_queue_free(office->jobs);
    motet_shared_free(office);
    return 0;
}

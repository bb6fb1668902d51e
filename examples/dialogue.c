/* dialogue: two threads talk through one condition, in strict turns. Each waits until it is its turn,
 * says its line, passes the turn on and notifies the other. Neither sleeps and looks again, and it
 * does not matter which of them starts first. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>

enum { POSTER, GETTER };

struct dialogue {
    motet_condition changed; /* zeroed: with a lock of its own, as Python's Condition() */
    int turn;                /* who speaks next; under changed's lock */
};

struct speaker {
    struct dialogue *dialogue;
    const char *name, *lines[4];
    int me;
};

static bool my_turn(void *arg)
{
    struct speaker *speaker = arg;
    return speaker->dialogue->turn == speaker->me;
}

static int speak(void *arg)
{
    struct speaker *speaker = arg;
    struct dialogue *dialogue = speaker->dialogue;

    for (int i = 0; i < 4; i++) {
        int rc = motet_condition_acquire(&dialogue->changed, MOTET_FOREVER);
        if (rc)
            return rc;
        /* While it waits the lock is free; when it returns we hold it, whatever it returns. */
        rc = motet_condition_wait_for(&dialogue->changed, my_turn, speaker, MOTET_FOREVER);
        if (rc == 0) {
            printf("%s: %s\n", speaker->name, speaker->lines[i]);
            dialogue->turn = !speaker->me;
            motet_condition_notify(&dialogue->changed, 1);
        }
        motet_condition_release(&dialogue->changed);
        if (rc)
            return rc;
    }
    return 0;
}

int main(void)
{
    struct dialogue dialogue = {.turn = POSTER};
    struct speaker poster = {
        &dialogue,
        "poster",
        {"Good morning! A parcel.", "From over the sea.", "Please sign here.", "Goodbye!"},
        POSTER,
    };
    struct speaker getter = {
        &dialogue,
        "getter",
        {"For me? From where?", "How lovely.", "With pleasure.", "Goodbye, and thank you!"},
        GETTER,
    };

    motet_thread *second = motet_thread_start(speak, &getter, .name = "getter");
    motet_thread *first = motet_thread_start(speak, &poster, .name = "poster");
    if (!first || !second) {
        perror("dialogue: motet_thread_start");
        _Exit(1); /* whoever has been started waits for one that never comes */
    }
    motet_thread_join(first, MOTET_FOREVER);
    motet_thread_join(second, MOTET_FOREVER);
    motet_thread_free(first);
    motet_thread_free(second);
    return 0;
}

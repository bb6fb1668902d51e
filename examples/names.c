/* names: who is who. Each line of this program's log begins with the name of the thread that writes
 * it: its own, the one it was given, or the one that it got because nobody gave it any. */
#include <motet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static motet_event begun[2], go; /* zeroed: not set */

/* As logging with the format "%(threadName)s". One printf a line, so that lines are not mixed. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[200];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("[%s] %s\n", motet_thread_name(motet_current_thread()), text);
}

static int work(void *arg)
{
    say("begins");
    motet_event_set(arg);
    motet_event_wait(&go, MOTET_FOREVER);
    say("ends");
    return 0;
}

/* The names of all threads that live, the oldest first. */
static void say_who_lives(void)
{
    motet_thread *threads[8];
    int n = motet_enumerate(threads, 8);

    for (int i = 0; i < n && i < 8; i++) {
        say("thread %d of %d is %s%s", i + 1, n, motet_thread_name(threads[i]),
            motet_thread_daemon(threads[i]) ? ", a daemon" : "");
        motet_thread_free(threads[i]); /* the handle, not the thread */
    }
}

int main(void)
{
    motet_thread *main_thread = motet_main_thread(); /* lent: not to be freed */

    say("the main thread is %s", motet_thread_name(main_thread));
    say("it is %s", main_thread == motet_current_thread() ? "this one" : "another");

    motet_thread *named = motet_thread_start(work, &begun[0], .name = "Downloader");
    motet_thread *other = motet_thread_start(work, &begun[1], .daemon = true);
    if (!named || !other) {
        perror("names: motet_thread_start");
        _Exit(1);
    }
    motet_event_wait(&begun[0], MOTET_FOREVER);
    motet_event_wait(&begun[1], MOTET_FOREVER);
    say_who_lives();

    if (motet_thread_set_name(named, "Last") == 0) /* at any time, also by another thread */
        say("one has a new name: %s", motet_thread_name(named));
    motet_event_set(&go);
    motet_thread_join(other, MOTET_FOREVER);
    motet_thread_join(named, MOTET_FOREVER);
    motet_thread_free(other);
    motet_thread_free(named);
    say("threads that live: %d", motet_active_count());
    return 0;
}

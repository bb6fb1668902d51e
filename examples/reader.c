/* reader: a process writes to a queue, another reads from it for ever. The parent joins the writer, waits
 * until all has been read, and terminates the reader, whose exit code tells by which signal it ended. */
#include <motet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int writer(void *arg)
{
    motet_queue *queue = *(motet_queue **)arg;
    for (char letter = 'A'; letter <= 'E'; letter++) {
        int rc = motet_queue_put(queue, &letter, MOTET_FOREVER);
        if (rc)
            return rc;
    }
    return 0;
}

static int reader(void *arg)
{
    motet_queue *queue = *(motet_queue **)arg;
    char letter;
    while (motet_queue_get(queue, &letter, MOTET_FOREVER) == 0) {
        printf("read %c\n", letter);
        fflush(stdout); /* it will have no time for that when it is terminated */
        motet_queue_task_done(queue);
    }
    return 0; /* nobody shuts the queue down: never reached */
}

int main(void)
{
    motet_queue *queue = motet_queue_open(.item_size = sizeof(char), .shared = true);
    motet_process *r = motet_process_start(reader, &queue, sizeof queue);
    motet_process *w = motet_process_start(writer, &queue, sizeof queue);
    if (!queue || !r || !w) {
        perror("reader");
        return 1;
    }
    motet_process_join(w, MOTET_FOREVER);
    motet_queue_join(queue, MOTET_FOREVER);
    printf("the writer ended with %d\n", motet_process_exitcode(w));
    printf("the reader is %s\n", motet_process_is_alive(r) ? "alive" : "gone");

    motet_process_terminate(r);
    motet_process_join(r, MOTET_FOREVER);
    int code = motet_process_exitcode(r);
    printf("the reader ended with %d: %s\n", code, code < 0 ? strsignal(-code) : "by itself");
    motet_process_free(r);
    motet_process_free(w);
    motet_queue_free(queue);
    return 0;
}

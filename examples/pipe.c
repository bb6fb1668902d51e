/* pipe: a parent and its child in dialogue, through the two ends of one pipe. The child answers until the
 * parent has closed its end, which the child learns from EPIPE; the parent waits for an answer or the
 * child's end, whichever comes first, so it does not hang when the child is killed. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ends {
    motet_connection *ours, *theirs; /* the parent's, and the child's */
};

static int answer(void *arg)
{
    struct ends *ends = arg;
    motet_connection *parent = ends->theirs;
    char reply[100];
    void *question;
    size_t size;
    int rc;

    motet_connection_free(ends->ours); /* or the parent's end would never be closed */
    while ((rc = motet_connection_recv(parent, &question, &size, MOTET_FOREVER)) == 0) {
        int n = snprintf(reply, sizeof reply, "%s has %zu letters", (char *)question, size);
        free(question);
        rc = motet_connection_send(parent, reply, (size_t)n, MOTET_FOREVER);
        if (rc)
            break;
    }
    motet_connection_free(parent);
    return rc == EPIPE ? 0 : rc;
}

/* Asks one question. False: there was no answer, because the child has ended. */
static bool ask(motet_connection *child, motet_process *process, const char *question)
{
    motet_ready objects[] = {{.connection = child}, {.process = process}};
    void *reply;
    size_t size;

    if (motet_connection_send(child, question, strlen(question), MOTET_FOREVER) != 0 ||
        motet_wait_ready(objects, 2, MOTET_FOREVER) != 0 || !objects[0].ready ||
        motet_connection_recv(child, &reply, &size, MOTET_FOREVER) != 0)
        return false;
    printf("%s\n", (char *)reply);
    free(reply);
    return true;
}

int main(int argc, char **argv)
{
    static const char *const questions[] = {"soprano", "alto", "tenor", "bass"};
    bool kill_it = argc > 1 && strcmp(argv[1], "kill") == 0;
    struct ends ends;

    if (motet_pipe(&ends.ours, &ends.theirs, true) != 0)
        return 1;
    motet_process *child = motet_process_start(answer, &ends, sizeof ends);
    if (!child) {
        perror("pipe: motet_process_start");
        return 1;
    }
    motet_connection_free(ends.theirs); /* the child has its own, and we see that end close */

    for (int i = 0; i < 4; i++) {
        if (kill_it && i == 2)
            motet_process_kill(child);
        if (!ask(ends.ours, child, questions[i])) {
            printf("no answer about %s\n", questions[i]);
            break;
        }
    }
    motet_connection_free(ends.ours);
    motet_process_join(child, MOTET_FOREVER);
    printf("the child ended with %d\n", motet_process_exitcode(child));
    motet_process_free(child);
    return 0;
}

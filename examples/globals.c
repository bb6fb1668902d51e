/* globals: what is shared and what is not. A process that appends to a global list appends to its own
 * copy of it; another process, and its parent, see the old one. Two threads see one list; and so do
 * processes, when it lies in shared memory. */
#include <motet.h>
#include <stdio.h>

struct list {
    int n, items[8];
};

static struct list global;   /* each process has its own */
static struct list *written; /* the list that write and read use: constant while they run */

static void print(const char *who)
{
    printf("  %s sees %d items:", who, written->n);
    for (int i = 0; i < written->n; i++)
        printf(" %d", written->items[i]);
    printf("\n");
}

static int append_three(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        written->items[written->n++] = i;
    print("the writer");
    return 0;
}

static int read_all(void *arg)
{
    (void)arg;
    print("the reader");
    return 0;
}

/* The reader begins when the writer has ended, so they need no lock. */
static int with_processes(void)
{
    motet_target targets[2] = {append_three, read_all};

    for (int i = 0; i < 2; i++) {
        motet_process *p = motet_process_start(targets[i], NULL, 0);
        if (!p)
            return errno;
        motet_process_join(p, MOTET_FOREVER);
        motet_process_free(p);
    }
    print("the parent");
    return 0;
}

static int with_threads(void)
{
    motet_target targets[2] = {append_three, read_all};

    for (int i = 0; i < 2; i++) {
        motet_thread *t = motet_thread_start(targets[i], NULL);
        if (!t)
            return errno;
        motet_thread_join(t, MOTET_FOREVER);
        motet_thread_free(t);
    }
    print("the main thread");
    return 0;
}

int main(void)
{
    written = &global;
    printf("processes, a global list\n");
    if ((errno = with_processes())) {
        perror("globals");
        return 1;
    }
    printf("threads, a global list\n");
    if ((errno = with_threads())) {
        perror("globals");
        return 1;
    }
    printf("processes, a list in shared memory\n");
    if (!(written = motet_shared_alloc(sizeof *written)) || (errno = with_processes())) {
        perror("globals");
        return 1;
    }
    motet_shared_free(written);
    return 0;
}

/* family: parent, child and grandchild, and who is whose parent. What os.fork, getpid and getppid show
 * in Python; but the child is a function, and nobody is left behind. */
#include <motet.h>
#include <stdio.h>
#include <unistd.h>

static int grandchild(void *arg)
{
    (void)arg;
    printf("grandchild %d, child of %d\n", (int)getpid(), (int)getppid());
    return 0;
}

static int child(void *arg)
{
    int *number = arg; /* a copy: what is done to it here, the parent does not see */
    printf("child %d, child of %d, was given %d\n", (int)getpid(), (int)getppid(), *number);
    *number = -1;
    motet_process *p = motet_process_start(grandchild, NULL, 0);
    int rc = motet_process_join(p, MOTET_FOREVER);
    motet_process_free(p);
    return rc == 0 ? 7 : 1;
}

int main(void)
{
    int number = 42;
    printf("parent %d\n", (int)getpid());
    motet_process *p = motet_process_start(child, &number, sizeof number, .name = "the child");
    if (!p) {
        perror("family: motet_process_start");
        return 1;
    }
    motet_process_join(p, MOTET_FOREVER);
    printf("parent: %s was process %d and ended with %d\n", motet_process_name(p),
           motet_process_pid(p), motet_process_exitcode(p));
    printf("parent: the number is still %d\n", number);
    motet_process_free(p);
    return 0;
}

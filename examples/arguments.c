/* arguments: a process that is given several, some of which have defaults. In Python they are positional
 * and named; in C they are the members of a struct, and a macro lets one name those that matter. What is
 * not named is zero, so zero must stand for the default.
 *
 * Nobody joins the process: the parent waits for it at exit. */
#include <motet.h>
#include <stdio.h>

struct greeting {
    char name[40];
    int times;        /* default 1 */
    const char *mark; /* default "!"; points into the program, which the child has as well */
};

static int greet(void *arg)
{
    const struct greeting *g = arg; /* the child's own copy, however long the parent keeps his */
    int times = g->times ? g->times : 1;
    for (int i = 1; i <= times; i++)
        printf("child: hello %s%s (%d of %d)\n", g->name, g->mark ? g->mark : "!", i, times);
    return 0;
}

static motet_process *start_greeting(const struct greeting *greeting)
{
    return motet_process_start(greet, greeting, sizeof *greeting, .name = "greeter");
}

/* start_greeting("name", .times = …, .mark = …) */
#define start_greeting(...) start_greeting(&(struct greeting){.name = __VA_ARGS__})

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, as parent and children come to print them */
    motet_process *first = start_greeting("Josquin");
    motet_process *second = start_greeting("Orlande", .times = 3, .mark = "?");
    if (!first || !second) {
        perror("arguments: motet_process_start");
        return 1;
    }
    motet_process_free(first); /* gives up the handle, not the process */
    motet_process_free(second);
    printf("parent: main ends\n");
    return 0;
}

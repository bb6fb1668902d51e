/* kitchen: programs that are no relatives hand each other orders, through a queue in a segment.
 *
 *     kitchen NAME cook                  cooks what is ordered, until the kitchen closes
 *     kitchen NAME order DISH...         orders
 *     kitchen NAME close                 takes no more orders, waits until all is cooked, clears away
 *
 * Run them from several shells, in whatever order, and kill a cook: the others go on. In Python this takes
 * a manager, a process that serves the queue to the rest, and the kitchen ends with it. */
#include <motet.h>
#include <stdio.h>
#include <string.h>

enum { ORDERS = 100 };

struct order {
    char dish[60];
};

static motet_shared_memory *find(const char *name)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(struct order), .maxsize = ORDERS);
    motet_shared_memory *m = motet_shared_memory_create(name, size);

    return m || errno != EEXIST ? m : motet_shared_memory_open(name);
}

static int cook(motet_queue *orders)
{
    struct order order;

    while (motet_queue_get(orders, &order, MOTET_FOREVER) == 0) {
        printf("%s\n", order.dish);
        motet_queue_task_done(orders);
    }
    return 0; /* EPIPE: the kitchen has closed, and there is nothing left to cook */
}

static int put_in(motet_queue *orders, const char *dish)
{
    struct order order = {{0}};

    snprintf(order.dish, sizeof order.dish, "%s", dish);
    return motet_queue_put(orders, &order, MOTET_FOREVER);
}

static int close_down(motet_queue *orders, motet_shared_memory *m)
{
    motet_queue_shutdown(orders, false);
    int rc = motet_queue_join(orders, MOTET_FOREVER);
    return rc ? rc : motet_shared_memory_unlink(m);
}

static int work(motet_queue *orders, motet_shared_memory *m, int argc, char **argv)
{
    int rc = 0;

    if (strcmp(argv[2], "cook") == 0)
        return cook(orders);
    if (strcmp(argv[2], "close") == 0)
        return close_down(orders, m);
    for (int i = 3; i < argc && rc == 0; i++)
        rc = put_in(orders, argv[i]);
    return rc;
}

static int fail(int error)
{
    fprintf(stderr, "kitchen: %s. %s\n", strerror(error), motet_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: kitchen NAME cook | order DISH... | close\n");
        return 2;
    }
    motet_shared_memory *m = find(argv[1]);
    if (!m)
        return fail(errno);
    motet_queue *orders = motet_queue_open(.item_size = sizeof(struct order), .maxsize = ORDERS,
                                           .memory = motet_shared_memory_data(m),
                                           .memory_size = motet_shared_memory_size(m));
    if (!orders)
        return fail(errno);
    int rc = work(orders, m, argc, argv);
    motet_queue_free(orders);
    motet_shared_memory_close(m);
    return rc ? fail(rc) : 0;
}

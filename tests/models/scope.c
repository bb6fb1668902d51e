/* The table of ranges: who has an address in one finds it, whatever comes and goes meanwhile. */
#include "check/model.h"

#include "wait/scope.h"

static uint64_t object[5]; /* each is a page, and may be a range */
enum { OWN = 2 };

static void add(int i)
{
    CHECK_INT(motet__scope_add(&object[i], sizeof *object, false), 0);
}

static void remove_it(int i)
{
    CHECK(motet__scope_remove(&object[i], sizeof *object, false));
}

static void ask(void *arg)
{
    (void)arg;
    CHECK_INT(motet__scope(&object[OWN]), MOTET__SHARED);
    CHECK_INT(motet__scope(&object[OWN + 1]), MOTET__PRIVATE);
}

/* The second of these makes over the list that was in use at first. */
static void change(void *arg)
{
    (void)arg;
    remove_it(0);
    add(4);
    remove_it(1);
    add(0);
}

MODEL(scope_ranges_come_and_go, .preemptions = 3)
{
    add(0);
    add(1);
    add(OWN);
    model_thread("reader", ask, NULL);
    model_thread("writer", change, NULL);
    model_run();
    remove_it(0);
    remove_it(OWN);
    remove_it(4);
    CHECK(motet__plainly_private(&object[OWN]));
}

/* One that is added is seen by who hears of it, though it looks while others go. */
static uint32_t told;

static void hear(void *arg)
{
    (void)arg;
    if (!motet__load(&told, ACQUIRE))
        return;
    CHECK_INT(motet__scope(&object[OWN]), MOTET__SHARED);
}

static void tell(void *arg)
{
    (void)arg;
    add(OWN);
    motet__store(&told, 1, RELEASE);
    remove_it(0);
    remove_it(1);
}

MODEL(scope_range_is_heard_of, .preemptions = 3)
{
    add(0);
    add(1);
    model_thread("reader", hear, NULL);
    model_thread("writer", tell, NULL);
    model_run();
}

#include "motet/base.h"
#include "wait/note.h"
#include "wait/wait.h"

static const struct motet__waitable a_while = {.name = "its sleep to end"};

int motet_sleep(double seconds)
{
    uint32_t never = 0; /* nobody else knows it, so only the deadline or a cancellation ends this */
    int64_t deadline;
    int rc = motet__deadline(seconds, &deadline);

    if (rc == 0 && deadline == MOTET__AT_ONCE)
        rc = motet__no_wait(MOTET__PRIVATE);
    while (rc == 0)
        rc = motet__wait_noted(&a_while, NULL, &never, 0, deadline, MOTET__PRIVATE);
    return rc == ETIMEDOUT ? 0 : rc;
}

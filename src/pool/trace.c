#include "pool/trace.h"

#include <string.h>

#include "base/clock.h"
#include "base/process.h"

void motet__trace_tell(struct motet__trace *trace, const struct motet_future *task,
                       enum motet__trace_what what)
{
    struct motet__happening it = {
        .turn = motet__load(&trace->turn, ACQUIRE), /* pairs with the release of the start */
        .worker = motet__load(&task->state, RELAXED) >> MOTET__WORKER_SHIFT, /* whose it is now */
        .what = what,
        .items = task->is_lot ? motet__task_lot(task)->count : 1,
        .task = task,
    };

    if (it.turn == 0)
        return;
    it.pid = what == MOTET__TRACE_DIED && task->dead.pid ? task->dead.pid : motet__os_pid();
    it.error = what == MOTET__TRACE_BEGIN ? 0 : task->error;
    it.at = motet__now();
    strncpy(it.name, task->name, sizeof it.name - 1);
    motet_queue_put(trace->queue, &it, MOTET_FOREVER); /* memory is out: it is not in the file */
}

void motet__trace_free(struct motet__crew *crew, unsigned scope)
{
    if (!crew->trace)
        return;
    motet_queue_free(crew->trace->queue);
    motet__task_free(scope, crew->trace);
}

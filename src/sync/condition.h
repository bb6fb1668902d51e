#ifndef MOTET_SYNC_CONDITION_H
#define MOTET_SYNC_CONDITION_H

#include "motet/condition.h"

/* motet_condition_acquire without end, even by a thread that is cancelled. */
int motet__condition_shielded(motet_condition *condition);

#endif

/* motet: threads, processes, queues and pools for C, with Python's names.
 *
 * This header includes every public one. Each of them is the manual of one concept and compiles
 * alone; read <motet/base.h> first, for the four rules that hold for all calls.
 */
#ifndef MOTET_H
#define MOTET_H

#include <motet/base.h>
#include <motet/lock.h>
#include <motet/rlock.h>
#include <motet/condition.h>
#include <motet/event.h>
#include <motet/semaphore.h>
#include <motet/barrier.h>
#include <motet/banker.h>
#include <motet/with.h>
#include <motet/thread.h>
#include <motet/local.h>
#include <motet/signal.h>
#include <motet/debug.h>
#include <motet/timer.h>
#include <motet/shared.h>
#include <motet/shared_memory.h>
#include <motet/process.h>
#include <motet/queue.h>
#include <motet/iterator.h>
#include <motet/future.h>
#include <motet/pool.h>
#include <motet/loop.h>
#include <motet/connection.h>

#endif

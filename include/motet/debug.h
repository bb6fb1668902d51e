/* Looking into a program that does not go on: who waits for what, and who holds it.
 *
 *     motet_signal(SIGUSR1, dump);                  // or from a thread, a debugger, a watchdog
 *
 *     void dump(int signum)
 *     {
 *         motet_dump(stderr);
 *     }
 *
 * prints something like
 *
 *     motet: process 4711, 3 threads
 *       Reader (4712) waits for an item of queue 0x55f310, 0 items, for 2.5 s more, since 7.5 s
 *       Feeder (4714) waits for lock 0x7f31a0 (bank+0x4068), for ever, since 12.4 s; Writer (4713) has it
 *       Writer (4713) runs
 *       pool Pool-1: 4 worker threads, open, 7 tasks queued
 *
 * MOTET_DEBUG=deadlock in the environment, when the process starts, makes motet look for deadlocks
 * while the program runs (any other word is complained of on the standard error):
 *
 *  - A cycle of threads that wait for each other for ever is reported when it closes.
 *  - An order of locks that could end in such a cycle is reported when it is first seen, though
 *    nothing has happened: one thread takes B while it holds A, another takes A while it holds B;
 *    likewise for longer cycles. Locks that are only tried, or waited for with a limit, or taken
 *    with motet_lock_acquire_all cannot be part of it; nor can locks that are always taken under
 *    one and the same other lock, nor what one thread does alone.
 *
 * (A private lock that one thread takes and another releases is a signal: nobody knows who will
 * release it. Once that has been seen it is left alone; before, two threads that wait for each
 * other's signals may be reported. One that waits for a lock that it has itself is never reported;
 * motet_dump shows it.)
 *
 * A report is made once. It goes to the standard error, or to motet_debug_on_report. Cycles that
 * go through another process are not seen. Only locks and rlocks, those of conditions too, and
 * joins of threads are looked at: what waits for a queue or an event may be helped by anyone.
 */
#ifndef MOTET_DEBUG_H
#define MOTET_DEBUG_H

#include <motet/base.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Prints all threads of this process that have used motet, what each waits for, since when, until
 * when, and who holds it; and the pools. 0; ENOMEM; EIO (the stream has an error); EINVAL.
 * It is a look at what moves: each line is true, but not all at the same moment. It takes none of the
 * locks that are waited for. Not for handlers of the system's signals; for those of motet_signal.
 * Python: faulthandler.dump_traceback, which has stacks and no reasons. */
MOTET_API int motet_dump(FILE *stream);

/* Has reports of MOTET_DEBUG given to `hook`, with `arg`, instead of printed; NULL: printed again.
 * The hook is called in the thread that found it, maybe with locks held: it must not use motet, and
 * the text is valid until it returns. 0. */
MOTET_API int motet_debug_on_report(void (*hook)(const char *text, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif

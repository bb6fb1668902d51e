/* Last in, first out, and lowest first: a stack or a heap. All calls want the put end's lock. */
#ifndef MOTET_QUEUE_PILE_H
#define MOTET_QUEUE_PILE_H

#include "queue/body.h"

/* 0 or ENOMEM, with nothing left behind. Closing wants that nobody uses it any more. */
int motet__pile_open(motet_queue *queue);
void motet__pile_close(motet_queue *queue);

/* The block of a placed queue, which has all its slots: its size, 0 when there can be none; and how it
 * begins, where the memory is. */
size_t motet__pile_block_size(const motet_queue *queue);
void motet__pile_lay(motet_queue *queue);

/* Where the next item goes, or NULL when memory is out. */
void *motet__pile_free_slot(motet_queue *queue, uint64_t tail);

/* Where the item is that comes out next. There is one. */
void *motet__pile_next(motet_queue *queue, uint64_t head);

/* After the commit: orders the heap anew; gives back memory that is not needed. */
void motet__pile_put_done(motet_queue *queue);
void motet__pile_get_done(motet_queue *queue);

/* Makes all notes again. */
void motet__pile_repair(motet_queue *queue);

#endif

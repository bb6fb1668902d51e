/* The line of --progress, on standard error and only when that is a terminal. It is never in the way:
 * output_write hides it before it writes to a terminal. Main thread only.
 */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include <stdbool.h>

/* Does nothing, and so does all below, unless this was called and standard error is a terminal. */
void progress_start(void);

/* Seconds until the line wants to be drawn again, MOTET_FOREVER when there is none. */
double progress_due(void);

/* Draws it, if it is due. `total` is 0 while it is not known. */
void progress_show(unsigned long long done, unsigned long long failed, unsigned long long total);
void progress_hide(void);

#endif

/* The log of --log: a line of JSON about each job that has ended, added to a file that may have lines
 * of earlier runs already. Main thread only.
 *
 * A line is written by one call of write when all that the job wrote has been passed on. It is whole or
 * not there: what a full disk cuts short is taken off again at once, what a SIGKILL in the middle of the
 * call leaves is taken off by the next log_open. Only one run at a time has the file. What is written
 * survives the end of this process, however it comes; what a crash of the machine takes, at most the
 * last half minute, is run again by --resume.
 */
#ifndef TOOL_LOG_H
#define TOOL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "done.h"
#include "job.h"
#include "template.h"

/* Zeroed, or without a path, it is none, and log_job does nothing. */
struct log {
    const char *path;
    int fd;
    FILE *file;   /* reads fd: no other descriptor may be closed, for that would give up the lock */
    bool regular; /* a file; else a pipe or the like, of which nothing can be taken off or read */
    FILE *line;   /* writes to text */
    char *text;
    size_t size;
};

/* 0, or -1 after saying what is wrong. */
int log_open(struct log *log, const char *path);

/* Adds to `done` the items whose jobs ended well and had the command line that `template` makes.
 * 0, or -1 after saying what is wrong. */
int log_read(const struct log *log, const struct template *template, struct done *done);

/* 0 or an errno value. */
int log_job(struct log *log, const struct job *job);

/* Has what was written brought to the disk. After log_open, even one that failed. 0 or an errno value. */
int log_close(struct log *log);

#endif

/* What the test and its children write, kept to be looked at. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

struct output {
    int file, saved[2]; /* -1: not replaced */
};

/* From here on stdout, and stderr too if `errors`, lead elsewhere; stdout has a buffer, as in a file. A check
 * that fails meanwhile is not heard of if `errors`. */
static inline void output_begin(struct output *output, bool errors)
{
    fflush(NULL);
    setvbuf(stdout, NULL, _IOFBF, 4096);
    output->file = memfd_create("output", MFD_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        output->saved[i] = i == 0 || errors ? fcntl(i + 1, F_DUPFD_CLOEXEC, 3) : -1;
        if (output->saved[i] >= 0)
            dup2(output->file, i + 1);
    }
}

/* Flushes stdout, and undoes it. The text, as a string, cut off if there is no room. */
static inline void output_end(struct output *output, char *text, size_t size)
{
    fflush(stdout);
    for (int i = 0; i < 2; i++)
        if (output->saved[i] >= 0) {
            dup2(output->saved[i], i + 1);
            close(output->saved[i]);
        }
    ssize_t n = pread(output->file, text, size - 1, 0);
    CHECK(n >= 0);
    text[n] = '\0';
    close(output->file);
}

#endif

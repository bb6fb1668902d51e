/* wordcount: the most frequent words of all text files under some directories, counted three times:
 * by this thread alone, by a pool of threads, and by a pool of processes. The three counts must be
 * the same; their times are compared.
 *
 *     wordcount [-j WORKERS] [DIRECTORY...]         default: all usable processors, /usr/include
 *
 * A word is a run of ASCII letters, digits and underscores; upper case counts as lower case. A file
 * with a NUL byte in its first 8 KiB is binary and skipped. Symbolic links are not followed.
 *
 * A task counts the words of a batch of files into a table of its own; its result is the address of
 * that table. The tables are in shared memory, where an address means the same to all processes: the
 * same task and the same merge serve threads and processes, and no word is sent anywhere.
 */
#define _XOPEN_SOURCE 700
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Complete before the workers that read it start, be they threads or children. */
static char **paths;
static size_t n_paths, n_binary, n_unreadable;
static unsigned char fold[256]; /* a letter's lower case; 0 for a byte between words */

struct progress {
    motet_lock lock; /* of what follows, and of the last line of the terminal */
    size_t files;    /* counted so far */
    const char *way; /* NULL: nobody looks */
};
static struct progress *progress; /* in shared memory */

static void die(int status, const char *what, int error)
{
    fprintf(stderr, "wordcount: %s: %s\n", what, strerror(error));
    _exit(status); /* in a worker process: fails its task */
}

static void *need(void *pointer)
{
    if (!pointer)
        die(1, "no memory, or no workers", errno);
    return pointer;
}

struct entry {
    uint64_t hash;
    size_t count; /* 0: no word is here */
    size_t word;  /* where it starts in the table's text */
};

struct table { /* of words, all of it in shared memory */
    struct totals {
        size_t files, bytes, words, distinct;
        uint64_t checksum; /* of all words and their counts, in any order */
    } totals;
    struct entry *entries;
    size_t size; /* how many entries: a power of two, at least half of them free */
    char *text;  /* all words, each with a 0 after it; last the one that is being read */
    size_t text_size, word, end; /* of the text; where that last one starts, and ends */
    uint64_t hash;               /* of the same */
};

static void table_free(struct table *table)
{
    motet_shared_free(table->entries);
    motet_shared_free(table->text);
    motet_shared_free(table);
}

/* The entry of that word, or the free one that it would get. */
static struct entry *find(const struct table *table, uint64_t hash, const char *word)
{
    for (size_t i = hash ^ hash >> 32;; i++) {
        struct entry *e = &table->entries[i & (table->size - 1)];
        if (e->count == 0 || (e->hash == hash && strcmp(table->text + e->word, word) == 0))
            return e;
    }
}

/* Ends the word that is being read, and counts it. */
static void add_word(struct table *table, size_t count)
{
    if (2 * table->totals.distinct >= table->size) { /* the first time 0 and 0 */
        struct table old = *table;
        table->size = old.size ? 2 * old.size : 1024;
        table->entries = need(motet_shared_alloc(table->size * sizeof(struct entry)));
        for (size_t i = 0; i < old.size; i++) {
            const struct entry *e = &old.entries[i];
            if (e->count)
                *find(table, e->hash, table->text + e->word) = *e;
        }
        motet_shared_free(old.entries);
    }
    table->text[table->end++] = 0;
    struct entry *e = find(table, table->hash, table->text + table->word);
    if (e->count == 0) {
        *e = (struct entry){.hash = table->hash, .word = table->word};
        table->word = table->end; /* the text keeps it */
        table->totals.distinct++;
    }
    e->count += count;
    table->totals.words += count;
    table->totals.checksum += count * table->hash;
    table->end = table->word;
    table->hash = 0;
}

/* Reads the next n bytes of a text; a word may go on in the bytes that follow. */
static void add_text(struct table *table, const char *bytes, size_t n)
{
    if (table->text_size < table->end + n + 1) {
        char *old = table->text;
        table->text_size = 2 * table->text_size + n + 1;
        table->text = need(motet_shared_alloc(table->text_size));
        if (old)
            memcpy(table->text, old, table->end);
        motet_shared_free(old);
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char letter = fold[(unsigned char)bytes[i]];
        if (letter) {
            table->text[table->end++] = (char)letter;
            table->hash = (table->hash ^ letter) * 0x100000001b3;
        } else if (table->end > table->word) {
            add_word(table, 1);
        }
    }
}

static void merge(struct table *into, const struct table *from)
{
    for (size_t i = 0; i < from->size; i++) {
        const struct entry *e = &from->entries[i];
        if (e->count) {
            add_text(into, from->text + e->word, strlen(from->text + e->word));
            add_word(into, e->count);
        }
    }
    into->totals.files += from->totals.files;
    into->totals.bytes += from->totals.bytes;
}

static int count_file(struct table *table, const char *path)
{
    char buffer[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        add_text(table, buffer, (size_t)n);
        table->totals.bytes += (size_t)n;
    }
    int rc = n < 0 ? errno : 0;
    if (table->end > table->word)
        add_word(table, 1);
    table->totals.files++;
    close(fd);
    return rc;
}

struct batch {
    size_t first, end; /* these of the paths */
};

/* The lock keeps the progress bar whole, whatever draws it: this thread, others or children. */
static void show_progress(void)
{
    motet_with(&progress->lock)
        if (++progress->files % 16 == 0 && progress->way)
            fprintf(stderr, "\r%-9s [%-40.*s] %zu/%zu files", progress->way,
                    (int)(40 * progress->files / n_paths),
                    "########################################", progress->files, n_paths);
}

static int count_files(struct table *table, const struct batch *batch)
{
    int rc = 0;
    for (size_t i = batch->first; i < batch->end && rc == 0; i++) {
        rc = count_file(table, paths[i]);
        show_progress();
    }
    return rc;
}

/* The task of the pools: a batch in, the address of a new table out. */
static int count_batch(const void *batch, void *result)
{
    struct table *table = need(motet_shared_alloc(sizeof *table));
    int rc = count_files(table, batch);
    if (rc == 0)
        *(struct table **)result = table;
    else
        table_free(table);
    return rc;
}

/* Submits all files, some at a time, then merges the tables of the tasks as they come. */
static int count_on_pool(struct table *total, motet_pool_kind kind, int workers)
{
    size_t step = 1 + n_paths / (8 * (size_t)workers), n = 0;
    int failed = 0;
    motet_future **futures = need(calloc(n_paths + 1, sizeof *futures));
    motet_pool *pool = need(motet_pool_open(.kind = kind, .workers = workers));
    for (size_t i = 0; i < n_paths; i += step) {
        struct batch batch = {i, i + step < n_paths ? i + step : n_paths};
        futures[n++] = need(motet_pool_submit(pool, count_batch, &batch, sizeof(struct table *)));
    }
    for (size_t i = 0; i < n; i++) {
        struct table *part;
        int rc = motet_future_result(futures[i], &part, MOTET_FOREVER);
        if (rc == 0) {
            merge(total, part);
            table_free(part);
        } else {
            fprintf(stderr, "wordcount: %s\n", motet_future_error(futures[i]));
            failed = rc;
        }
        motet_future_free(futures[i]);
    }
    motet_pool_close(pool);
    motet_pool_join(pool, MOTET_FOREVER);
    motet_pool_free(pool);
    free(futures);
    return failed;
}

static int found(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_DNR || type == FTW_NS || (type == FTW_F && S_ISREG(status->st_mode))) {
        paths = need(realloc(paths, (n_paths + 1) * sizeof *paths));
        paths[n_paths++] = need(strdup(path));
    }
    return 0;
}

/* A task: looks into a file. The result is 0 for text, -1 for binary, or an errno value. */
static int inspect(const void *path, void *result)
{
    char head[8192];
    int fd = open(*(char *const *)path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    *(int *)result = n < 0 ? errno : memchr(head, 0, (size_t)n) ? -1 : 0;
    close(fd); /* of -1: does nothing */
    return 0;
}

/* Keeps the paths of text files only, and names those that cannot be read. */
static void choose_files(int workers)
{
    int *verdicts = need(calloc(n_paths + 1, sizeof *verdicts));
    motet_pool *pool = need(motet_pool_open(.kind = MOTET_THREADS, .workers = workers));
    int rc = motet_pool_map(pool, inspect, paths, n_paths, verdicts, MOTET_FOREVER);
    if (rc)
        die(1, "motet_pool_map", rc);
    motet_pool_free(pool);
    size_t n = 0;
    for (size_t i = 0; i < n_paths; i++) {
        if (verdicts[i] > 0)
            printf("not readable: %s (%s)\n", paths[i], strerror(verdicts[i]));
        n_unreadable += verdicts[i] > 0;
        n_binary += verdicts[i] < 0;
        if (verdicts[i] == 0)
            paths[n++] = paths[i];
        else
            free(paths[i]);
    }
    n_paths = n;
    free(verdicts);
}

static void print_top(const struct table *table)
{
    for (size_t i = 0; i < 10 && i < table->totals.distinct; i++) {
        struct entry *best = NULL;
        for (struct entry *e = table->entries; e < table->entries + table->size; e++)
            if (e->count && (!best || e->count > best->count ||
                             (e->count == best->count &&
                              strcmp(table->text + e->word, table->text + best->word) < 0)))
                best = e;
        printf("%12zu  %.60s\n", best->count, table->text + best->word);
        best->count = 0; /* so that the next one is found */
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static const char *const ways[] = {"alone", "threads", "processes"};
    static const motet_pool_kind kinds[] = {0, MOTET_THREADS, MOTET_PROCESSES};
    char *usual[] = {"/usr/include", NULL};
    struct table *tables[3];
    double seconds[3];
    int workers = motet_cpu_count(), option;
    while ((option = getopt(argc, argv, "j:")) != -1)
        if (option != 'j' || (workers = atoi(optarg)) < 1) {
            fprintf(stderr, "usage: wordcount [-j WORKERS] [DIRECTORY...]\n");
            return 2;
        }
    paths = need(malloc(sizeof *paths)); /* so that it is not NULL if nothing is found */
    for (char **dir = argv[optind] ? argv + optind : usual; *dir; dir++) {
        char *real = realpath(*dir, NULL);
        if (!real || nftw(real, found, 64, FTW_PHYS))
            die(2, *dir, errno);
        free(real);
    }
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789_"; *c; c++)
        fold[toupper(*c)] = fold[(int)*c] = (unsigned char)*c;
    choose_files(workers);
    progress = need(motet_shared_alloc(sizeof *progress));
    for (int i = 0; i < 3; i++) {
        tables[i] = need(motet_shared_alloc(sizeof(struct table)));
        progress->way = isatty(STDERR_FILENO) ? ways[i] : NULL;
        progress->files = 0;
        double start = now();
        int rc = i == 0 ? count_files(tables[i], &(struct batch){0, n_paths})
                        : count_on_pool(tables[i], kinds[i], workers);
        seconds[i] = now() - start;
        fputs(progress->way ? "\r\033[K" : "", stderr);
        if (rc)
            die(1, ways[i], rc);
        if (memcmp(&tables[0]->totals, &tables[i]->totals, sizeof(struct totals))) {
            fprintf(stderr, "wordcount: %s: another count than alone. Do files change?\n", ways[i]);
            return 1;
        }
    }
    const struct totals *t = &tables[0]->totals;
    printf("%zu text files (%zu binary, %zu not readable), %zu bytes\n", t->files, n_binary,
           n_unreadable, t->bytes);
    printf("%zu words, %zu distinct; the same in all three counts\n\n", t->words, t->distinct);
    print_top(tables[0]);
    printf("\n%-10s %7s %9s %9s %9s\n", "way", "workers", "seconds", "MB/s", "speed-up");
    for (int i = 0; i < 3; i++)
        printf("%-10s %7d %9.3f %9.1f %9.2f\n", ways[i], i ? workers : 1, seconds[i],
               1e-6 * (double)t->bytes / seconds[i], seconds[0] / seconds[i]);
    return fflush(stdout) ? 1 : 0;
}

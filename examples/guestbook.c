/* guestbook: programs that are no relatives share a book. `guestbook BOOK NAME` signs it, `guestbook
 * BOOK` reads it, `guestbook BOOK --burn` ends it.
 *
 * Run it as often as you like, from several shells at once. In Python the book would be a SharedMemory
 * with a ShareableList in it, and there would be no lock. */
#include <motet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINES = 20 };

/* All that is in the segment. No pointers: each program has it elsewhere. */
struct book {
    motet_lock lock;
    int count; /* of the lines below; under lock */
    struct {
        int pid;
        char name[60];
    } line[LINES];
};

static motet_shared_memory *find(const char *name)
{
    motet_shared_memory *m = motet_shared_memory_create(name, sizeof(struct book));

    if (!m && errno == EEXIST)
        m = motet_shared_memory_open(name);
    if (!m)
        fprintf(stderr, "guestbook: %s: %s. %s\n", name, strerror(errno), motet_last_error());
    return m;
}

static void sign(struct book *book, const char *name)
{
    motet_with(&book->lock) {
        if (book->count == LINES)
            break; /* which leaves the block, and the lock */
        book->line[book->count].pid = (int)getpid();
        snprintf(book->line[book->count].name, sizeof book->line[0].name, "%s", name);
        book->count++; /* last: who is killed before this has not signed */
    }
}

static void show(struct book *book)
{
    motet_with(&book->lock)
        for (int i = 0; i < book->count; i++)
            printf("%2d. %s (process %d)\n", i + 1, book->line[i].name, book->line[i].pid);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: guestbook BOOK [NAME | --burn]\n");
        return 2;
    }
    motet_shared_memory *m = find(argv[1]);
    if (!m)
        return 1;
    if (motet_shared_memory_size(m) < sizeof(struct book)) {
        fprintf(stderr, "guestbook: %s is something else\n", argv[1]);
        return 1;
    }
    struct book *book = motet_shared_memory_data(m);
    if (argc == 2)
        show(book);
    else if (strcmp(argv[2], "--burn") == 0)
        motet_shared_memory_unlink(m);
    else
        sign(book, argv[2]);
    return motet_shared_memory_close(m) ? 1 : 0;
}

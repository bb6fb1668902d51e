/* downloads: two downloads of random length, one after the other, as two processes, as two threads,
 * and as two objects that have a thread each. The total is the sum of both; then the longer one.
 * `downloads [LONGEST]`: they take up to that many seconds, default 10. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct file {
    const char *name;
    double seconds; /* that its download takes */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Serves as the target of a thread, which gets the file itself, and of a process, which gets a copy. */
static int download(void *arg)
{
    const struct file *file = arg;
    printf("begin %s\n", file->name);
    int rc = motet_sleep(file->seconds); /* the net would be here */
    printf("end %s, it took %.1f s\n", file->name, file->seconds);
    return rc;
}

static void give_up(const char *what)
{
    perror(what);
    exit(1); /* waits for what was started */
}

static void one_after_the_other(struct file files[2])
{
    download(&files[0]);
    download(&files[1]);
}

static void as_processes(struct file files[2])
{
    motet_process *p[2];
    for (int i = 0; i < 2; i++)
        if (!(p[i] = motet_process_start(download, &files[i], sizeof files[i])))
            give_up("downloads: motet_process_start");
    for (int i = 0; i < 2; i++) {
        motet_process_join(p[i], MOTET_FOREVER);
        motet_process_free(p[i]);
    }
}

static void as_threads(struct file files[2])
{
    motet_thread *t[2];
    for (int i = 0; i < 2; i++)
        if (!(t[i] = motet_thread_start(download, &files[i])))
            give_up("downloads: motet_thread_start");
    for (int i = 0; i < 2; i++) {
        motet_thread_join(t[i], MOTET_FOREVER);
        motet_thread_free(t[i]);
    }
}

/* What is a class derived from Thread in Python is a struct that has one in C: its run() gets the
 * object and leaves its outcome there. */
struct download {
    struct file file;
    double took; /* set by run; to be read after the join */
    motet_thread *thread;
};

static int run(void *self)
{
    struct download *d = self;
    double start = now();
    int rc = download(&d->file);
    d->took = now() - start;
    return rc;
}

static void as_objects(struct file files[2])
{
    struct download d[2] = {{.file = files[0]}, {.file = files[1]}};
    for (int i = 0; i < 2; i++)
        if (!(d[i].thread = motet_thread_start(run, &d[i], .name = files[i].name)))
            give_up("downloads: motet_thread_start");
    for (int i = 0; i < 2; i++) {
        motet_thread_join(d[i].thread, MOTET_FOREVER);
        motet_thread_free(d[i].thread);
    }
    printf("the longer one took %.1f s\n", d[0].took > d[1].took ? d[0].took : d[1].took);
}

int main(int argc, char **argv)
{
    double longest = argc > 1 ? atof(argv[1]) : 10;
    struct file files[2] = {{.name = "motet.pdf"}, {.name = "voices.mp3"}};
    static const struct {
        const char *name;
        void (*both)(struct file[2]);
    } ways[] = {
        {"one after the other", one_after_the_other},
        {"as two processes", as_processes},
        {"as two threads", as_threads},
        {"as two objects", as_objects},
    };

    srand((unsigned)time(NULL));
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 2; i++)
        files[i].seconds = longest * (0.5 + 0.5 * rand() / RAND_MAX);
    for (int i = 0; i < 4; i++) {
        double start = now();
        printf("%s\n", ways[i].name);
        ways[i].both(files);
        printf("%s: %.1f s in all\n", ways[i].name, now() - start);
    }
    return 0;
}

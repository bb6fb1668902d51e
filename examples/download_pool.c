/* download_pool: a pool of four processes downloads five files. The fifth begins when the first of four
 * has ended, in the same process. `download_pool [SECONDS]`: what the longest takes, default 4. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct file {
    char name[20];
    double seconds; /* that its download takes */
};

static int download(const void *arg, void *result)
{
    const struct file *file = arg;
    (void)result;
    printf("process %d: begin %s\n", (int)getpid(), file->name);
    int rc = motet_sleep(file->seconds); /* the net would be here */
    printf("process %d: end %s\n", (int)getpid(), file->name);
    return rc;
}

int main(int argc, char **argv)
{
    double longest = argc > 1 ? atof(argv[1]) : 4;
    struct file files[] = {{"soprano.mp3", longest},
                           {"alto.mp3", longest / 4},
                           {"tenor.mp3", longest / 2},
                           {"bass.mp3", longest / 1.5},
                           {"score.pdf", longest / 2}};
    int rc = 0;

    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, as the processes come to print them */
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 4);
    if (!pool) {
        perror("download_pool");
        return 1;
    }
    for (int i = 0; i < 5; i++) {
        motet_future *future = motet_pool_submit(pool, download, &files[i], 0);
        rc = future ? rc : errno;
        motet_future_free(future); /* the handle: the download goes on */
    }
    printf("submitted\n");
    motet_pool_close(pool); /* that was all */
    motet_pool_join(pool, MOTET_FOREVER);
    motet_pool_free(pool);
    if (rc)
        fprintf(stderr, "download_pool: %s\n", strerror(rc));
    else
        printf("all is here\n");
    return rc ? 1 : 0;
}

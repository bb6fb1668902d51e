#include "base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read. It would be much for the stack of a small thread. */
struct search {
    const char *controller;
    bool v2;
    void (*visit)(const char *folder, bool v2, void *arg);
    void *arg;
    char group[4096], root[4096], mount[4096], options[4096], path[4096];
    char line[8400];
};

bool motet__cgroup_line(const char *folder, const char *name, char *line, size_t size)
{
    char *path;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return false;
    FILE *file = fopen(path, "re");
    free(path);
    if (!file)
        return false;
    bool got = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return got;
}

/* Visits the group `group` and all above it, up to the mount point. */
static void visit_all(struct search *s, const char *group)
{
    size_t top = strlen(s->mount);

    if (snprintf(s->path, sizeof s->path, "%s%s", s->mount, strcmp(group, "/") == 0 ? "" : group) >=
        (int)sizeof s->path)
        return;
    for (;;) {
        s->visit(s->path, s->v2, s->arg);
        char *slash = strrchr(s->path, '/');
        if (!slash || (size_t)(slash - s->path) < top)
            return;
        *slash = '\0';
    }
}

/* Whether the comma-separated list holds the word. */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0' || at[n] == '\n'))
            return true;
    return false;
}

/* This process's group in the hierarchy, as /proc/self/cgroup has it. */
static bool find_group(struct search *s)
{
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");

    if (!file)
        return false;
    while (!found &&
           fgets(s->line, sizeof s->line, file)) { /* "4:cpu,cpuacct:/path" or "0::/path" */
        char *controllers = strchr(s->line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = s->v2 ? strcmp(s->line, "0:") == 0 : lists(controllers + 1, s->controller);
        if (found && snprintf(s->group, sizeof s->group, "%s", path) >= (int)sizeof s->group)
            found = false;
    }
    fclose(file);
    return found;
}

/* Whether the line of mountinfo is about a mount of the hierarchy. */
static bool is_mount(struct search *s)
{
    char type[64];
    char *rest = strstr(s->line, " - ");

    if (!rest || sscanf(s->line, "%*s %*s %*s %4095s %4095s", s->root, s->mount) != 2 ||
        sscanf(rest, " - %63s %*s %4095s", type, s->options) != 2)
        return false;
    if (s->v2)
        return strcmp(type, "cgroup2") == 0;
    return strcmp(type, "cgroup") == 0 && lists(s->options, s->controller);
}

/* Visits under each mount of the hierarchy. A mount that shows only part of it, as in a container, has
 * that part's path as its root, which is cut off the group's. */
static void search(struct search *s)
{
    FILE *file;

    if (!find_group(s) || !(file = fopen("/proc/self/mountinfo", "re")))
        return;
    while (fgets(s->line, sizeof s->line, file)) {
        if (!is_mount(s))
            continue;
        size_t n = strcmp(s->root, "/") == 0 ? 0 : strlen(s->root);
        if (strncmp(s->group, s->root, n) != 0)
            n = strlen(
                s->group); /* the mount shows another part: its root is the best we can see */
        visit_all(s, s->group[n] ? s->group + n : "/");
    }
    fclose(file);
}

void motet__cgroup_each(const char *controller,
                        void (*visit)(const char *folder, bool v2, void *arg), void *arg)
{
    struct search *s = malloc(sizeof *s);

    if (!s)
        return; /* no limit can be seen */
    *s = (struct search){.controller = controller, .visit = visit, .arg = arg};
    for (int v2 = 1; v2 >= 0; v2--) {
        s->v2 = v2;
        search(s);
    }
    free(s);
}

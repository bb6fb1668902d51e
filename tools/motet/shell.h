/* Commands in the language of the shell: to be run by one, or to be read by people. */
#ifndef TOOL_SHELL_H
#define TOOL_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SHELL_SCRIPT = 2 };

/* What --shell makes of a command: the arguments of an sh that runs it, placeholders among them. */
struct shell {
    char **arguments; /* the script at SHELL_SCRIPT has no placeholders any more */
    size_t count;
    char *text; /* of all of them */
};

/* Each placeholder in the command becomes a parameter of the shell, quoted as it needs where it stands:
 * its value is never read as shell language. $1 is the item. 0 or ENOMEM. */
int shell_init(struct shell *shell, const char *command, bool columns);
void shell_free(struct shell *shell);

/* The command as a line that a shell would read as just these arguments. */
void shell_write(FILE *out, char *const argv[]);

#endif

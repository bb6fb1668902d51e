/* The text of `motet map --help`: see options.h. */
#include <stdio.h>

#include "options.h"

static const char help[] =
    "usage: motet map [option ...] CMD [ARG ...] [::: ITEM ...]\n"
    "\n"
    "Runs CMD once for each item, several at a time. The items are the arguments after :::, or\n"
    "else the lines of a file or of the standard input. CMD is run as it is, without a shell.\n"
    "\n"
    "In CMD and ARG these stand for the item, anywhere within an argument; without any of them\n"
    "the item becomes the last argument:\n"
    "\n"
    "  {}    the item                       {/}   the last part of its path\n"
    "  {.}   without its extension          {//}  the directory of its path\n"
    "  {#}   the number of the job, from 1  {/.}  the last part, without its extension\n"
    "  {%}   the number of its slot: from 1 to N, and no other job has it at the same time\n"
    "\n"
    "With --colsep, {1}, {2.}, … stand for columns of the item.\n"
    "\n"
    "  -j N           run N jobs at a time (as many as there are usable processors)\n"
    "  -k             write the outputs in the order of the items\n"
    "  -a FILE        read the items from FILE\n"
    "  -0             items end with a NUL, not with the line\n"
    "  --line         write complete lines as they come, not whole outputs at the end\n"
    "  --raw          let the jobs write to standard output themselves\n"
    "  --tag          begin each line of output with the item and a tab\n"
    "  --colsep X     split items into columns at X, such as , or \\t\n"
    "  --shell        CMD is a line for sh; the placeholders in it are quoted as they need\n"
    "  --dry-run      print the commands, and run nothing\n"
    "  --timeout S    end a job that takes longer than S seconds\n"
    "  --retry N      try a job that failed again, up to N times, a little later each time\n"
    "  --retry-delay S  seconds before the first time (1)\n"
    "  --fail WHEN    how many failures are enough: never (as without it) counts; soon begins no\n"
    "                 more jobs after the first; now ends those that run, too; N or N% is as\n"
    "                 soon, after N failures, or when that share of all that ended has failed\n"
    "  --delay S      let S seconds pass between the starts of two jobs\n"
    "  --load X       start none beside others while X processes, or X% of the processors, are "
    "busy\n"
    "  --min-free X   start none while less than X of memory is free, such as 500M or 2G\n"
    "  --log FILE     add a line of JSON about each job that has ended to FILE\n"
    "  --resume       leave out the jobs that ended well according to that log\n"
    "  --report FILE  write a page about the run, to be read with a browser\n"
    "  --progress     show how far it is, when standard error is a terminal\n"
    "  -h, --help     show this\n"
    "\n"
    "Each job's output is written when the job has ended, whole and never mixed with another's.\n"
    "\n"
    "exit status: 0; 1 some job failed; 124 some job timed out; 130 stopped by Ctrl-C; 2 wrong\n"
    "usage, or the items could not be read\n"
    "\n"
    "  find . -name '*.wav' -print0 | motet map -0 flac --silent {}\n"
    "  motet map -j 4 convert {} -resize 50% small/{/.}.png ::: *.jpg\n";

void options_help(void)
{
    fputs(help, stdout);
}

/* `motet map`: workers in a pool of threads, each running one command after the other. */
#ifndef TOOL_MAP_H
#define TOOL_MAP_H

/* argv[0] is "map". The exit status. */
int map_main(int argc, char **argv);

#endif

#include "motet/base.h"

const char *motet_version(void)
{
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(MOTET_VERSION_MAJOR) "." TEXT(MOTET_VERSION_MINOR) "." TEXT(MOTET_VERSION_PATCH);
}

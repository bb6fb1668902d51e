#include "wait/spin.h"

#include "base/cpu.h"

bool motet__spin_useful(void)
{
    static uint32_t cpus; /* 0: not asked yet. Asked twice by a race, it is answered twice alike */
    uint32_t n = motet__load(&cpus, RELAXED);

    if (motet__unlikely(n == 0)) {
        n = (uint32_t)motet__cpu_affinity();
        motet__store(&cpus, n, RELAXED);
    }
    return n > 1;
}

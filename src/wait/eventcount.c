#include "wait/eventcount.h"

void motet__ec_wake(struct motet__eventcount *ec, uint32_t n, unsigned scope)
{
    uint32_t sleepers = motet__load(&ec->sleepers, RELAXED);
    uint32_t mine;

    do {
        mine = n < sleepers ? n : sleepers;
        if (mine == 0)
            return; /* others have taken all: they wake them */
    } while (!motet__cas(&ec->sleepers, &sleepers, sleepers - mine, SEQ_CST));

    motet__add(&ec->sequence, 1, SEQ_CST);
    motet__wake(&ec->sequence, mine > INT32_MAX ? INT32_MAX : (int)mine, scope);
}

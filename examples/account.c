/* account: four processes pay into one account, and one is killed in the middle of a payment. The
 * lock tells the next one, who repairs the account; nobody waits for the dead. */
#include <errno.h>
#include <motet.h>
#include <signal.h>
#include <stdio.h>

struct account {
    motet_lock lock;
    long payments; /* under lock, as is balance */
    long balance;  /* always 10 * payments when nobody holds the lock */
};

static int pay(void *arg)
{
    struct account *account = *(struct account **)arg;
    for (int i = 0; i < 1000; i++)
        motet_with(&account->lock) {
            account->payments++;
            account->balance += 10;
        }
    return 0;
}

static int pay_half(void *arg)
{
    struct account *account = *(struct account **)arg;
    motet_lock_acquire(&account->lock, MOTET_FOREVER);
    account->payments++;
    return raise(SIGKILL); /* the balance is never added, the lock never released */
}

int main(void)
{
    struct account *account = motet_shared_alloc(sizeof *account); /* zeroed: the lock is free */
    if (!account)
        return 1;
    motet_process *payer[4];
    for (int i = 0; i < 4; i++)
        payer[i] = motet_process_start(pay, &account, sizeof account);
    for (int i = 0; i < 4; i++) {
        motet_process_join(payer[i], MOTET_FOREVER);
        motet_process_free(payer[i]);
    }
    printf("%ld payments, balance %ld\n", account->payments, account->balance);

    motet_process *victim = motet_process_start(pay_half, &account, sizeof account);
    motet_process_join(victim, MOTET_FOREVER);
    printf("a payer ended with %d\n", motet_process_exitcode(victim));
    motet_process_free(victim);
    if (motet_lock_acquire(&account->lock, MOTET_FOREVER) == EOWNERDEAD) {
        printf("it died holding the lock: %ld payments, balance %ld\n", account->payments,
               account->balance);
        account->balance = 10 * account->payments;
    }
    motet_lock_release(&account->lock);
    printf("repaired: %ld payments, balance %ld\n", account->payments, account->balance);
    motet_shared_free(account);
    return 0;
}

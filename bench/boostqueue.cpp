// Boost.Interprocess's message_queue, for bench_process_queue.
//
//     boostqueue SIZE BOUND ITEMS PINNED
//
// One process sends, another receives. Prints how many items went through and in how many seconds.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sched.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace ipc = boost::interprocess;

static double now()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

static void pin(bool wanted, int number)
{
    cpu_set_t usable, one;
    int n = 0;

    if (!wanted || sched_getaffinity(0, sizeof usable, &usable) != 0)
        return;
    number %= CPU_COUNT(&usable);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && n++ == number) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

static int receive(ipc::message_queue &queue, std::vector<char> &item, long n)
{
    std::uint64_t number;
    std::size_t size;
    unsigned priority;

    for (long i = 1; i <= n; i++) {
        queue.receive(item.data(), item.size(), size, priority);
        std::memcpy(&number, item.data(), sizeof number);
        if (size != item.size() || number != std::uint64_t(i))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    std::vector<char> item(std::strtoul(argv[1], nullptr, 0));
    std::size_t bound = std::strtoul(argv[2], nullptr, 0);
    long n = std::strtol(argv[3], nullptr, 0);
    bool pinned = std::atoi(argv[4]) != 0;
    std::string name = "motet-bench-" + std::to_string(getpid());

    ipc::message_queue queue(ipc::create_only, name.c_str(), bound, item.size());
    ipc::message_queue::remove(name.c_str()); // it stays as long as it is mapped
    pid_t child = fork();
    if (child == 0) {
        pin(pinned, 1);
        _exit(receive(queue, item, n));
    }
    pin(pinned, 0);
    double began = now();
    for (long i = 1; i <= n; i++) {
        std::uint64_t number = std::uint64_t(i);
        std::memcpy(item.data(), &number, sizeof number);
        queue.send(item.data(), item.size(), 0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    if (status != 0)
        return 1;
    std::printf("%ld %.9f\n", n, now() - began);
}

// What the anchor of Acquire executes: a tiny program that gets open descriptors, does the ioctls and ends.
// bench_bare_exec IOMMU-FD DEVICE-FD DONE-FD: writes a byte when everything is closed.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tests/bench/bare_device.hpp"

int main(int argc, char** argv) {
    if (argc != 4) {
        return 2;
    }
    try {
        const iommud::bench::BareFds fds{std::atoi(argv[1]), std::atoi(argv[2])};
        iommud::bench::bind_and_attach(fds);
        iommud::bench::close_bare(fds);
        return ::write(std::atoi(argv[3]), "", 1) == 1 ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_bare_exec: %s\n", error.what());
        return 1;
    }
}

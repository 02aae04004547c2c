// edu_dma --device-fd N --memory-fd M --iova X [--offset O] [--loop | --step]
//
// Lets an edu device copy memory, through whatever IOMMU mapping the descriptors it inherits have, and prints what
// became of it: OK, MISMATCH or BLOCKED (edu.hpp says what each means). M's bytes O to O + 8 KiB are mapped at X.
// --loop: DMA without a pause and a verdict for each copy, four or so a second, until SIGTERM or SIGINT.
// --step: one verdict for each line on standard input, until its end.
// Exit code: 0, 1 or 2 for the last verdict, in the order above; 3 when there is none, with the reason on stderr.
#include <getopt.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

#include "edu.hpp"

namespace {

using iommud::test::DmaPages;
using iommud::test::Edu;
using iommud::test::Verdict;

volatile std::sig_atomic_t stop = 0;

struct Options {
    std::optional<std::uint64_t> device_fd, memory_fd, iova;
    std::uint64_t offset = 0;
    bool loop = false;
    bool step = false;
};

std::uint64_t number(const char* text) {
    std::size_t used = 0;
    const std::uint64_t value = std::stoull(text, &used, 0);
    if (text[used] != '\0') {
        throw std::invalid_argument(std::string("not a number: ") + text);
    }
    return value;
}

Options parse(int argc, char** argv) {
    const option known[] = {{"device-fd", required_argument, nullptr, 'd'},
                            {"memory-fd", required_argument, nullptr, 'm'},
                            {"iova", required_argument, nullptr, 'i'},
                            {"offset", required_argument, nullptr, 'o'},
                            {"loop", no_argument, nullptr, 'l'},
                            {"step", no_argument, nullptr, 's'},
                            {nullptr, 0, nullptr, 0}};
    Options options;
    for (int found; (found = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
        switch (found) {
            case 'd':
                options.device_fd = number(optarg);
                break;
            case 'm':
                options.memory_fd = number(optarg);
                break;
            case 'i':
                options.iova = number(optarg);
                break;
            case 'o':
                options.offset = number(optarg);
                break;
            case 'l':
                options.loop = true;
                break;
            case 's':
                options.step = true;
                break;
            default:
                throw std::invalid_argument("unknown option");
        }
    }
    if (!options.device_fd || !options.memory_fd || !options.iova || optind != argc || (options.loop && options.step)) {
        throw std::invalid_argument(
            "usage: edu_dma --device-fd N --memory-fd M --iova X [--offset O] [--loop | --step]");
    }
    return options;
}

void print(Verdict verdict) {
    std::cout << to_string(verdict) << std::endl;  // flushed: somebody waits for it
}

Verdict loop(Edu& edu, DmaPages& pages, std::uint64_t iova) {
    for (;;) {
        const Verdict verdict = round_trip(edu, pages, iova);
        print(verdict);
        if (stop != 0) {
            return verdict;
        }
    }
}

Verdict step(Edu& edu, DmaPages& pages, std::uint64_t iova) {
    std::optional<Verdict> last;
    for (std::string line; std::getline(std::cin, line);) {
        last = round_trip(edu, pages, iova);
        print(*last);
    }
    if (!last) {
        throw std::runtime_error("no line on standard input");
    }
    return *last;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Options options = parse(argc, argv);
        std::signal(SIGTERM, [](int) { stop = 1; });
        std::signal(SIGINT, [](int) { stop = 1; });
        DmaPages pages(static_cast<int>(*options.memory_fd), options.offset);
        Edu edu(static_cast<int>(*options.device_fd));
        if (options.loop) {
            return static_cast<int>(loop(edu, pages, *options.iova));
        }
        if (options.step) {
            return static_cast<int>(step(edu, pages, *options.iova));
        }
        const Verdict verdict = round_trip(edu, pages, *options.iova);
        print(verdict);
        return static_cast<int>(verdict);
    } catch (const std::exception& error) {
        std::cerr << "edu_dma: " << error.what() << '\n';
        return 3;
    }
}

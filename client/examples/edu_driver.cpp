// An unprivileged driver for QEMU's "edu" device, on libiommud: has it copy a pattern to itself and back, and compares.
#include <linux/vfio.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <iommud/iommud.hpp>
#include <iostream>

namespace {

constexpr std::size_t pattern = 2048;  // the device copies at most 4,096 bytes at once
const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
constexpr std::uint64_t edu_buffer = 0x40000, to_device = 1, to_memory = 3;  // in edu's own addresses; its commands

void must(bool done, const char* what) {
    if (!done) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

vfio_region_info region(int device, std::uint32_t index) {
    vfio_region_info info{sizeof info, 0, index, 0, 0, 0};
    must(::ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "VFIO_DEVICE_GET_REGION_INFO");
    return info;
}

struct Edu {
    explicit Edu(int device) {  // a VFIO device, bound and attached by iommud
        const vfio_region_info bar = region(device, VFIO_PCI_BAR0_REGION_INDEX);
        const auto command_at = static_cast<off_t>(region(device, VFIO_PCI_CONFIG_REGION_INDEX).offset) + 4;
        must(::pwrite(device, "\6", 1, command_at) == 1, "switch on memory space and bus mastering");
        void* at =
            ::mmap(nullptr, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, static_cast<off_t>(bar.offset));
        must(at != MAP_FAILED, "map BAR 0");
        dma_registers = static_cast<volatile std::uint64_t*>(at) + 0x80 / sizeof *dma_registers;
    }
    void dma(std::uint64_t from, std::uint64_t to, std::uint64_t command) {
        const std::uint64_t values[] = {from, to, pattern, command};  // in this order: the command starts it
        std::copy_n(values, 4, dma_registers);
        for (int wait = 0; (dma_registers[3] & 1) != 0 && wait < 5000; ++wait) {
            ::usleep(1000);
        }
    }
    volatile std::uint64_t* dma_registers = nullptr;  // source, destination, count, command
};

std::string round_trip(Edu& edu, std::span<std::byte> memory, std::uint64_t iova, unsigned round) {
    std::byte *sent = memory.data(), *back = sent + page;
    std::memset(sent, static_cast<int>(round % 255 + 1), pattern);
    std::memset(back, 0, pattern);
    edu.dma(iova, edu_buffer, to_device);
    edu.dma(edu_buffer, iova + page, to_memory);
    return std::memcmp(sent, back, pattern) == 0 ? "OK" : *back == std::byte{0} ? "BLOCKED" : "MISMATCH";
}

bool stdin_closed(int wait_ms) {
    char byte = 0;
    pollfd in{STDIN_FILENO, POLLIN, 0};
    return ::poll(&in, 1, wait_ms) > 0 && ::read(STDIN_FILENO, &byte, 1) <= 0;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string address = "0000:00:04.0";
    std::uint64_t reserve = 12 << 20, size = 2 * page, iova = 16 << 20;  // edu reaches 28 bits of iova
    bool hold = false, loop = false;
    CLI::App app("DMA with QEMU's edu device, through a lease of iommud");
    app.add_option("DEVICE", address, "PCI address");
    app.add_option("--memory", reserve, "bytes to reserve, such as 12MiB")->transform(CLI::AsSizeValue(false));
    app.add_option("--size", size, "bytes to map, at least two pages")->transform(CLI::AsSizeValue(false));
    app.add_option("--iova", iova, "where to map them, below 256 MiB");
    app.add_flag("--hold", hold, "keep the lease until stdin closes");
    app.add_flag("--loop", loop, "do DMA until it stops working or stdin closes");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    auto lease = iommud::client::Connection().acquire({address}, {.memory = reserve, .label = "edu_driver"});
    const iommud::client::Memory memory(std::max(size, 2 * page));
    lease.map(memory, iommud::client::Access::read_write, iova);
    const auto edu = lease.simulated() ? nullptr : std::make_unique<Edu>(lease.device(address));
    std::string seen;
    for (unsigned round = 0; round == 0 || (loop && seen == "OK" && !stdin_closed(0)); ++round) {
        seen = edu ? round_trip(*edu, memory.bytes(), iova, round) : "IMPOSSIBLE: the simulated kernel has no device";
        std::cout << (round == 0 || seen != "OK" ? "DMA " + seen + '\n' : "") << std::flush;
    }
    while (hold && !stdin_closed(-1)) {
    }
    return seen == "OK" ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << "edu_driver: " << error.what() << std::endl;
    const auto* refused = dynamic_cast<const iommud::client::Error*>(&error);
    return refused != nullptr ? refused->exit_code() : 1;
}

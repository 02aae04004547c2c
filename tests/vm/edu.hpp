// Drives the DMA engine of QEMU's `edu` device through a VFIO device descriptor, so that tests observe whether DMA goes
// through instead of assuming it. Only needs linux/vfio.h as far as kernel 6.1 has it. Errors are std::system_error.
#pragma once

#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace iommud::test {

// The values are the exit codes of edu_dma.
enum class Verdict { ok = 0, mismatch = 1, blocked = 2 };

constexpr const char* to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::ok:
            return "OK";
        case Verdict::mismatch:
            return "MISMATCH";
        case Verdict::blocked:
            return "BLOCKED";
    }
    return "?";
}

template <typename Integer>
Integer check(Integer result, const char* what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return result;
}

// One edu device. Borrows the descriptor, which must be bound (to an iommufd, or by its group to a container).
class Edu {
  public:
    // The device's own buffer holds a page; half of it keeps clear of QEMU's range check, which ends QEMU when it
    // fails.
    static constexpr std::size_t transfer_size = 2048;
    // It has 28 address lines.
    static constexpr std::uint64_t address_limit = std::uint64_t{1} << 28;

    explicit Edu(int device_fd)
        : x_fd(device_fd),
          x_registers(region(VFIO_PCI_BAR0_REGION_INDEX)),
          x_config(region(VFIO_PCI_CONFIG_REGION_INDEX)) {
        std::uint32_t identity = 0;
        read(x_config, &identity, sizeof identity);
        if (identity != 0x11e81234) {
            throw std::runtime_error("not an edu device");
        }
    }

    // Memory space on; bus master as asked: without it the device's DMA goes nowhere, whatever is mapped.
    void enable(bool bus_master = true) {
        std::uint16_t command = 0;
        read(x_config + 4, &command, sizeof command);
        command = static_cast<std::uint16_t>((command & ~4U) | 2U | (bus_master ? 4U : 0U));
        write(x_config + 4, &command, sizeof command);
    }

    // Each copies transfer_size bytes, between the device's buffer and memory at `iova`, and waits for the device to
    // say that it is done. It says so for DMA that the IOMMU blocked, too. False when it says nothing for 5 seconds.
    bool memory_to_device(std::uint64_t iova) { return transfer(iova, buffer, 1); }
    bool device_to_memory(std::uint64_t iova) { return transfer(buffer, iova, 3); }

  private:
    static constexpr std::uint32_t buffer = 0x40000;

    std::uint64_t region(std::uint32_t index) const {
        vfio_region_info info{};
        info.argsz = sizeof info;
        info.index = index;
        check(ioctl(x_fd, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
        return info.offset;
    }

    // By read and write, not by a mapping of the BAR: a device whose memory space somebody turned off answers a mapping
    // with SIGBUS, and read with EIO.
    void read(std::uint64_t at, void* to, std::size_t size) const { complete(pread(x_fd, to, size, offset(at)), size); }
    void write(std::uint64_t at, const void* from, std::size_t size) {
        complete(pwrite(x_fd, from, size, offset(at)), size);
    }
    static off_t offset(std::uint64_t at) { return static_cast<off_t>(at); }
    static void complete(ssize_t done, std::size_t size) {
        if (check(done, "access to a device region") != static_cast<ssize_t>(size)) {
            throw std::runtime_error("short access to a device region");
        }
    }

    bool transfer(std::uint64_t from, std::uint64_t to, std::uint32_t command) {
        if (from > address_limit - transfer_size || to > address_limit - transfer_size) {
            throw std::out_of_range("edu reaches 28 bits of address");
        }
        const std::array<std::pair<std::uint32_t, std::uint64_t>, 4> values{
            {{0x80, from}, {0x88, to}, {0x90, transfer_size}, {0x98, command}}};
        for (const auto& [where, value] : values) {
            const auto word = static_cast<std::uint32_t>(value);
            write(x_registers + where, &word, sizeof word);
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (std::chrono::steady_clock::now() < deadline) {
            std::uint32_t running = 0;
            read(x_registers + 0x98, &running, sizeof running);
            if ((running & 1) == 0) {
                return true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        return false;
    }

    int x_fd;
    std::uint64_t x_registers;
    std::uint64_t x_config;
};

// Two pages of a file, shared: the first is what the device reads, the second what it writes.
class DmaPages {
  public:
    static constexpr std::size_t page = 4096;

    DmaPages(int memory_fd, std::uint64_t offset)
        : x_address(
              mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, static_cast<off_t>(offset))) {
        if (x_address == MAP_FAILED) {
            throw std::system_error(errno, std::generic_category(), "mmap of the memory");
        }
    }
    ~DmaPages() { munmap(x_address, 2 * page); }
    DmaPages(const DmaPages&) = delete;
    DmaPages& operator=(const DmaPages&) = delete;

    std::span<std::byte> source() { return {static_cast<std::byte*>(x_address), Edu::transfer_size}; }
    std::span<std::byte> target() { return {static_cast<std::byte*>(x_address) + page, Edu::transfer_size}; }

  private:
    void* x_address;
};

// Sends the first page, which is mapped at `iova`, through the device into the second, and says what became of it:
// ok: it arrived; blocked: nothing was written; mismatch: something else was written, such as what the device's buffer
// still held when only its reading was blocked. Random data each time, so that nothing stale can pass for a success.
inline Verdict round_trip(Edu& edu, DmaPages& pages, std::uint64_t iova) {
    std::array<std::byte, Edu::transfer_size> before{};
    // At most 256 bytes are sure to come in one piece.
    for (const auto& destination : {pages.source(), std::span<std::byte>(before)}) {
        for (std::size_t at = 0; at < destination.size(); at += 256) {
            check(getrandom(destination.data() + at, 256, 0), "getrandom");
        }
    }
    std::copy(before.begin(), before.end(), pages.target().begin());
    edu.enable();
    if (!edu.memory_to_device(iova) || !edu.device_to_memory(iova + DmaPages::page)) {
        throw std::runtime_error("the device does not finish its DMA");
    }
    if (std::ranges::equal(pages.target(), pages.source())) {
        return Verdict::ok;
    }
    return std::ranges::equal(pages.target(), before) ? Verdict::blocked : Verdict::mismatch;
}

}  // namespace iommud::test

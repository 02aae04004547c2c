// Memory that others freed, seen through a device (hazard C19). fallocate gives a file pages that nobody has cleared:
// the kernel clears them when they are touched by a processor, and iommufd's MAP_FILE pins them as they are.
#include <sys/mman.h>

#include <array>
#include <thread>

#include "attacker.hpp"

namespace iommud::test {
namespace {

constexpr std::uint64_t iova = 0x4000000;
constexpr std::uint64_t scratch_iova = 0x6000000;
constexpr std::uint64_t pages = 16;
constexpr unsigned char own = 1;  // what make_memory touches its pages with

void punch(const Fd& memory) {
    check(::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(pages * page)),
          "punch");
}
void allocate(const Fd& memory) {
    check(::fallocate(memory.get(), 0, 0, static_cast<off_t>(pages * page)), "fallocate");
}

// Looks at memory through the device, by a page of its own beside it.
class Spy {
  public:
    Spy(const Channel& channel, int device) : x_memory(make_memory(2 * page)), x_edu(device) {
        if (const int error = channel.map(x_memory.get(), 2 * page, scratch_iova); error != 0) {
            throw std::runtime_error("the scratch page is not mapped: " + std::to_string(error));
        }
        x_at = static_cast<unsigned char*>(
            ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, x_memory.get(), 0));
        x_edu.enable();
    }
    Spy(const Spy&) = delete;
    Spy& operator=(const Spy&) = delete;
    ~Spy() { ::munmap(x_at, 2 * page); }

    // How many of the mapped pages hold bytes that are neither zeroes nor what this client wrote. The device has to
    // have delivered: a page that it could not read leaves a mark in place.
    [[nodiscard]] std::string count() {
        constexpr unsigned char mark = 0x77;
        unsigned foreign = 0;
        unsigned unread = 0;
        for (std::uint64_t i = 0; i < pages; ++i) {
            std::memset(x_at, mark, Edu::transfer_size);
            transfer(scratch_iova, iova + i * page);
            unread +=
                std::all_of(x_at, x_at + Edu::transfer_size, [](unsigned char byte) { return byte == mark; }) ? 1 : 0;
            foreign += std::any_of(x_at, x_at + Edu::transfer_size,
                                   [](unsigned char byte) { return byte != 0 && byte != own && byte != mark; });
        }
        return std::to_string(foreign) + " of others, " + std::to_string(unread) + " unread";
    }

  private:
    void transfer(std::uint64_t to, std::uint64_t from) {
        // First the marks, so that DMA that is blocked brings them back.
        if (!x_edu.memory_to_device(to) || !x_edu.memory_to_device(from) || !x_edu.device_to_memory(to)) {
            throw std::runtime_error("the device does not finish its DMA");
        }
    }

    Fd x_memory;
    unsigned char* x_at = nullptr;
    Edu x_edu;
};

void detach(int device) {
    std::array<std::uint32_t, 2> argument{sizeof argument, 0};
    check(::ioctl(device, 0x3b78, argument.data()), "detach");
}
void attach(int device) {
    std::array<std::uint32_t, 3> argument{sizeof argument, 0, 1};  // the lease's address space is the first object
    check(::ioctl(device, 0x3b77, argument.data()), "attach");
}

}  // namespace

std::string stale_by_attach(const Channel& channel, int device) {
    const Fd memory = make_memory(pages * page);
    if (const int error = channel.map(memory.get(), pages * page, iova); error != 0) {
        return "not mapped: " + std::to_string(error);
    }
    Spy spy(channel, device);
    detach(device);
    punch(memory);
    dirty_free_pages();
    allocate(memory);
    attach(device);
    return spy.count();
}

std::string stale_by_race(const Channel& channel, int device, unsigned tries) {
    Spy spy(channel, device);
    std::string worst = "0 of others, 0 unread";
    for (unsigned i = 0; i < tries; ++i) {
        const Fd memory = make_memory(pages * page);
        int error = 0;
        {
            const std::jthread puncher([&memory](const std::stop_token& end) {
                while (!end.stop_requested()) {
                    punch(memory);
                    dirty_free_pages(2 << 20);
                    allocate(memory);
                    void* const at = ::mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
                    std::memset(at, own, pages * page);
                    ::munmap(at, pages * page);
                }
            });
            error = channel.map(memory.get(), pages * page, iova);
        }
        if (error == 0) {
            if (const std::string found = spy.count(); found != "0 of others, 0 unread") {
                worst = found;
            }
            static_cast<void>(channel.call({IOMMUD_UNMAP, 0, 0, 0, 0, iova}));
        } else if (error != IOMMUD_ERROR_INVALID_MEMORY) {
            return "not mapped: " + std::to_string(error);
        }
    }
    return worst;
}

}  // namespace iommud::test

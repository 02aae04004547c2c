// The system call lists against what mapping by address needs of them; the VM tests need a real one for the rest.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base/bytes.hpp"
#include "daemon/kernel/address_arena.hpp"
#include "daemon/sandbox/keeper_container_filter.hpp"
#include "daemon/sandbox/keeper_filter.hpp"
#include "daemon/sandbox/seccomp.hpp"

namespace iommud::keeper {
namespace {

// In a process of its own: maps a memfd at a place of the arena and takes it away again; exits 0 when all went well.
[[noreturn]] void use_an_arena_below(std::span<const sock_filter> filter) {
    const UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC));
    const bool sized = ::ftruncate(memory.get(), page_size) == 0;
    kernel::AddressArena arena(4096);
    std::uint32_t place = 0;
    const bool reserved = arena.reserve() == 0;
    sandbox::enter_seccomp(filter);
    const bool put = sized && reserved &&
                     arena.put({memory.borrow(), 0, page_size, page_size, std::nullopt, {true, true}}, place) == 0;
    arena.retire(place, page_size);
    ::_exit(put ? 0 : 1);
}

[[noreturn]] void map_executably_below(std::span<const sock_filter> filter) {
    const UniqueFd memory(::memfd_create("dma", MFD_CLOEXEC));
    void* const here = ::mmap(nullptr, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sandbox::enter_seccomp(filter);
    ::mmap(here, page_size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, memory.get(), 0);
    ::_exit(0);
}

[[noreturn]] void map_by_file_below(std::span<const sock_filter> filter) {
    sandbox::enter_seccomp(filter);
    ::ioctl(STDIN_FILENO, 0x3b8f, nullptr);
    ::_exit(0);
}

class FilterDeathTest : public testing::Test {
  protected:
    void SetUp() override {
#ifdef IOMMUD_SANITIZED
        GTEST_SKIP() << "built with sanitizers, there is no filter";
#endif
    }
};

TEST_F(FilterDeathTest, MemoryIsMappedAtAddresses) {
    EXPECT_EXIT(use_an_arena_below(sandbox::keeper_filter), testing::ExitedWithCode(0), "");
    EXPECT_EXIT(use_an_arena_below(sandbox::keeper_container_filter), testing::ExitedWithCode(0), "");
}

TEST_F(FilterDeathTest, ClientsMemoryIsNeverExecuted) {
    EXPECT_EXIT(map_executably_below(sandbox::keeper_filter), testing::KilledBySignal(SIGSYS), "");
    EXPECT_EXIT(map_executably_below(sandbox::keeper_container_filter), testing::KilledBySignal(SIGSYS), "");
}

// Hazard C19: it pins pages that nobody has cleared.
TEST_F(FilterDeathTest, MemoryIsNeverMappedByFile) {
    EXPECT_EXIT(map_by_file_below(sandbox::keeper_filter), testing::KilledBySignal(SIGSYS), "");
    EXPECT_EXIT(map_by_file_below(sandbox::keeper_container_filter), testing::KilledBySignal(SIGSYS), "");
}

}  // namespace
}  // namespace iommud::keeper

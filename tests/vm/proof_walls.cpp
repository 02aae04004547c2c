// proof_walls address|file ioas|table [BDF]
//
// What stands between a client and memory that others freed (hazard C19), each wall alone, without any code of the
// daemon's: memory is mapped by address or by file, the device is attached to the address space or to a page table that
// was made for it. Detaches the device, has the file's pages replaced by some that nobody has cleared, attaches it as a
// client can, and prints how many pages the device then reads that are of others: "N of 16".
#include <fcntl.h>
#include <sys/mman.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "attacker.hpp"
#include "daemon/kernel/iommufd_abi.hpp"

namespace {

using namespace iommud::test;
namespace abi = iommud::abi;
namespace fs = std::filesystem;

constexpr std::uint64_t iova = 0x4000000, scratch_iova = 0x6000000, pages = 16;
constexpr unsigned char own = 1;

struct MapFile {
    std::uint32_t size, flags, ioas_id;
    std::int32_t fd;
    std::uint64_t start, length, iova;
};

template <typename Argument>
void call(int fd, unsigned long request, Argument& argument, const char* what) {
    check(::ioctl(fd, request, &argument), what);
}

void* look(const Fd& memory, std::uint64_t length) {
    void* const at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    if (at == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    return at;
}

void map(int iommu, std::uint32_t ioas, const Fd& memory, std::uint64_t length, std::uint64_t at, bool by_file) {
    constexpr std::uint32_t flags = abi::map_fixed_iova | abi::map_readable | abi::map_writeable;
    if (by_file) {
        MapFile argument{sizeof argument, flags, ioas, memory.get(), 0, length, at};
        call(iommu, abi::ioas_map_file, argument, "map by file");
        return;
    }
    abi::IoasMap argument;
    argument.flags = flags;
    argument.ioas_id = ioas;
    argument.user_va = reinterpret_cast<std::uint64_t>(look(memory, length));
    argument.length = length;
    argument.iova = at;
    call(iommu, abi::ioas_map, argument, "map by address");
}

unsigned foreign_pages(Edu& edu, const Fd& scratch) {
    auto* const at = static_cast<unsigned char*>(look(scratch, page));
    unsigned foreign = 0;
    for (std::uint64_t i = 0; i < pages; ++i) {
        constexpr unsigned char mark = 0x77;
        std::memset(at, mark, page);
        if (!edu.memory_to_device(scratch_iova) || !edu.memory_to_device(iova + i * page) ||
            !edu.device_to_memory(scratch_iova)) {
            throw std::runtime_error("the device does not finish its DMA");
        }
        if (*at == mark) {
            throw std::runtime_error("the device cannot read what is mapped");
        }
        foreign +=
            std::any_of(at, at + Edu::transfer_size, [](unsigned char byte) { return byte != 0 && byte != own; });
    }
    return foreign;
}

unsigned attack(const fs::path& device, bool by_file, bool own_table) {
    const fs::path node = "/dev/vfio/devices" / fs::directory_iterator(device / "vfio-dev")->path().filename();
    const Fd iommu(check(::open("/dev/iommu", O_RDWR | O_CLOEXEC), "/dev/iommu"));
    const Fd fd(check(::open(node.c_str(), O_RDWR | O_CLOEXEC), node.c_str()));
    abi::DeviceBind bind;
    bind.iommufd = iommu.get();
    call(fd.get(), abi::device_bind_iommufd, bind, "bind");
    abi::IoasAlloc alloc;
    call(iommu.get(), abi::ioas_alloc, alloc, "allocate an IOAS");
    abi::DeviceAttach attach;
    attach.pt_id = alloc.out_ioas_id;
    if (own_table) {
        abi::HwptAlloc table;
        table.dev_id = bind.out_devid;
        table.pt_id = alloc.out_ioas_id;
        call(iommu.get(), abi::hwpt_alloc, table, "allocate a page table");
        attach.pt_id = table.out_hwpt_id;
    }
    call(fd.get(), abi::device_attach_iommufd_pt, attach, "attach");
    const Fd memory = make_memory(pages * page);
    const Fd scratch = make_memory(page);
    map(iommu.get(), alloc.out_ioas_id, memory, pages * page, iova, by_file);
    map(iommu.get(), alloc.out_ioas_id, scratch, page, scratch_iova, false);

    abi::DeviceDetach detach;
    call(fd.get(), abi::device_detach_iommufd_pt, detach, "detach");
    const auto size = static_cast<off_t>(pages * page);
    check(::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), "punch");
    dirty_free_pages();
    check(::fallocate(memory.get(), 0, 0, size), "fallocate");
    attach.pt_id = alloc.out_ioas_id;  // whatever it was before: a client may choose
    call(fd.get(), abi::device_attach_iommufd_pt, attach, "attach again");
    Edu edu(fd.get());
    edu.enable();
    return foreign_pages(edu, scratch);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string how = argc > 1 ? argv[1] : "";
        const std::string where = argc > 2 ? argv[2] : "";
        if ((how != "address" && how != "file") || (where != "ioas" && where != "table")) {
            throw std::invalid_argument("usage: proof_walls address|file ioas|table [BDF]");
        }
        const fs::path device = fs::path("/sys/bus/pci/devices") / (argc > 3 ? argv[3] : "0000:00:04.0");
        std::printf("%u of %u\n", attack(device, how == "file", where == "table"), static_cast<unsigned>(pages));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "proof_walls: %s\n", error.what());
        return 2;
    }
}

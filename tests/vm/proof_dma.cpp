// proof_dma va|file|type1 [BDF]
//
// What managed leases rest on, shown on the running kernel without any code of the daemon's:
//  1. DMA of QEMU's edu device goes through a context that this process set up;
//  2. pages mapped by a process with a uid of its own are charged to that uid, against that process's RLIMIT_MEMLOCK,
//     exactly, across processes, and outlive it (iommufd; a type1 container charges the mapping process's mm);
//  3. unmap + detach + destroy ends DMA for good, whatever descriptors the client keeps.
// va: mmap + IOMMU_IOAS_MAP, file: IOMMU_IOAS_MAP_FILE (kernel >= 6.13), type1: a group in a container.
// Prints each step with what it gave and what it has to give; exit code 0 when all of them are equal.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "edu.hpp"

namespace {

using iommud::test::check;
using iommud::test::DmaPages;
using iommud::test::Edu;
using iommud::test::Verdict;
namespace fs = std::filesystem;

// From linux/iommufd.h and newer versions of linux/vfio.h, which Debian 12's headers do not have.
struct Bind {
    std::uint32_t argsz, flags;
    std::int32_t iommufd;
    std::uint32_t out_devid;
};
struct Attach {
    std::uint32_t argsz, flags, pt_id;
};
struct Detach {
    std::uint32_t argsz, flags;
};
struct IoasAlloc {
    std::uint32_t size, flags, out_ioas_id;
};
struct Destroy {
    std::uint32_t size, id;
};
struct IoasMap {
    std::uint32_t size, flags, ioas_id, reserved;
    std::uint64_t user_va, length, iova;
};
struct IoasMapFile {
    std::uint32_t size, flags, ioas_id;
    std::int32_t fd;
    std::uint64_t start, length, iova;
};
struct IoasUnmap {
    std::uint32_t size, ioas_id;
    std::uint64_t iova, length;
};
constexpr unsigned long iommu_destroy = _IO(';', 0x80), ioas_alloc = _IO(';', 0x81), ioas_map = _IO(';', 0x85),
                        ioas_unmap = _IO(';', 0x86), ioas_map_file = _IO(';', 0x8f), device_bind = _IO(';', 118),
                        device_attach = _IO(';', 119), device_detach = _IO(';', 120);
constexpr std::uint32_t fixed_readable_writeable = 7;

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t iova = 16 * mib;
bool by_file = false;
bool failed = false;

template <typename Argument>
int call(int fd, unsigned long request, Argument& argument) {
    return ioctl(fd, request, &argument) < 0 ? -errno : 0;
}

void expect(const char* what, int found, int wanted) {
    std::printf("%-4s %s: %d (%d)\n", found == wanted ? "ok" : "FAIL", what, found, wanted);
    failed = failed || found != wanted;
}

void expect(const char* what, Verdict found, Verdict wanted) {
    std::printf("%-4s %s: %s (%s)\n", found == wanted ? "ok" : "FAIL", what, to_string(found), to_string(wanted));
    failed = failed || found != wanted;
}

int memory(std::uint64_t length) {
    const int fd = check(memfd_create("dma", MFD_CLOEXEC), "memfd_create");
    check(ftruncate(fd, static_cast<off_t>(length)), "ftruncate");
    // Touched, and not only allocated: pages that were never cleared are pinned as they are, and what the device writes
    // is wiped when the CPU first looks at them.
    void* pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (pages == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    munmap(pages, length);
    return fd;
}

int map(int iommu, std::uint32_t ioas, int memfd, std::uint64_t length, std::uint64_t at) {
    if (by_file) {
        IoasMapFile argument{sizeof argument, fixed_readable_writeable, ioas, memfd, 0, length, at};
        return call(iommu, ioas_map_file, argument);
    }
    void* pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    IoasMap argument{
        sizeof argument, fixed_readable_writeable, ioas, 0, reinterpret_cast<std::uintptr_t>(pages), length, at};
    return call(iommu, ioas_map, argument);
}

// In a process that has the uid and nothing else, and has ended when this returns: the mapping outlives it.
int as_keeper(uid_t uid, int iommu, std::uint32_t ioas, int memfd, std::uint64_t length, std::uint64_t at) {
    const pid_t child = check(fork(), "fork");
    if (child == 0) {
        const rlimit limit{12 * mib, 12 * mib};
        if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setresgid(65534, 65534, 65534) != 0 ||
            setresuid(uid, uid, uid) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
            _exit(255);
        }
        _exit(-map(iommu, ioas, memfd, length, at));
    }
    int status = 0;
    check(waitpid(child, &status, 0), "waitpid");
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -1000;
}

// The exit code; descriptors without CLOEXEC go along.
int run(const std::string& command) {
    const int status = check(std::system(command.c_str()), "system");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void prove_iommufd(const fs::path& device) {
    const fs::path node = "/dev/vfio/devices" / fs::directory_iterator(device / "vfio-dev")->path().filename();
    const int iommu = check(open("/dev/iommu", O_RDWR | O_CLOEXEC), "/dev/iommu");
    const int fd = check(open(node.c_str(), O_RDWR | O_CLOEXEC), node.c_str());
    Bind bind{sizeof bind, 0, iommu, 0};
    expect("bind", call(fd, device_bind, bind), 0);
    IoasAlloc alloc{sizeof alloc, 0, 0};
    expect("allocate an IOAS", call(iommu, ioas_alloc, alloc), 0);
    const std::uint32_t ioas = alloc.out_ioas_id;
    Attach attach{sizeof attach, 0, ioas};
    expect("attach", call(fd, device_attach, attach), 0);

    constexpr uid_t one = 0x70000001, other = 0x70000002;
    const int first = memory(8 * mib), second = memory(8 * mib);
    expect("limit 12 MiB: map 8 MiB", as_keeper(one, iommu, ioas, first, 8 * mib, iova), 0);
    expect("8 MiB more", as_keeper(one, iommu, ioas, second, 8 * mib, 3 * iova), -ENOMEM);
    expect("4 MiB more, exactly the limit", as_keeper(one, iommu, ioas, second, 4 * mib, 3 * iova), 0);
    expect("one page more, in another process", as_keeper(one, iommu, ioas, second, 4096, 5 * iova), -ENOMEM);
    expect("another uid has its own count", as_keeper(other, iommu, ioas, second, 8 * mib, 7 * iova), 0);

    Edu edu(fd);
    DmaPages pages(first, 0);
    expect("DMA through what a dead process mapped", round_trip(edu, pages, iova), Verdict::ok);
    const std::string edu_dma = "edu_dma --device-fd " + std::to_string(dup(fd)) + " --memory-fd " +
                                std::to_string(dup(first)) + " --offset 0x100000 --iova " + std::to_string(iova + mib);
    expect("edu_dma, one megabyte on", run(edu_dma), 0);
    expect("edu_dma --step", run("printf '\\n\\n' | " + edu_dma + " --step"), 0);
    expect("edu_dma --loop", run("timeout --preserve-status 2 " + edu_dma + " --loop"), 0);
    expect("edu_dma beyond its 28 bits", run(edu_dma + "0000000 2>&1"), 3);

    IoasUnmap unmap{sizeof unmap, ioas, 3 * iova, 4 * mib};
    expect("unmap 4 MiB", call(iommu, ioas_unmap, unmap), 0);
    expect("map them again", as_keeper(one, iommu, ioas, second, 4 * mib, 3 * iova), 0);

    IoasUnmap all{sizeof all, ioas, 0, UINT64_MAX};
    expect("unmap all", call(iommu, ioas_unmap, all), 0);
    expect("DMA after it", round_trip(edu, pages, iova), Verdict::blocked);
    Detach detach{sizeof detach, 0};
    expect("detach", call(fd, device_detach, detach), 0);
    Destroy destroy{sizeof destroy, ioas};
    expect("destroy the IOAS", call(iommu, iommu_destroy, destroy), 0);
    expect("the client attaches again", call(fd, device_attach, attach), -ENOENT);
    expect("DMA after that", round_trip(edu, pages, iova), Verdict::blocked);
}

void prove_type1(const fs::path& device) {
    const fs::path node = "/dev/vfio" / fs::read_symlink(device / "iommu_group").filename();
    int container = check(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), "/dev/vfio/vfio");
    const int group = check(open(node.c_str(), O_RDWR | O_CLOEXEC), node.c_str());
    expect("set the container", call(group, VFIO_GROUP_SET_CONTAINER, container), 0);
    expect("set the IOMMU", ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
    const int fd = check(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device.filename().c_str()), "VFIO_GROUP_GET_DEVICE_FD");

    const int first = memory(8 * mib);
    void* address = mmap(nullptr, 8 * mib, PROT_READ | PROT_WRITE, MAP_SHARED, first, 0);
    vfio_iommu_type1_dma_map mapping{sizeof mapping, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                     reinterpret_cast<std::uintptr_t>(address), iova, 8 * mib};
    expect("map 8 MiB", call(container, VFIO_IOMMU_MAP_DMA, mapping), 0);
    Edu edu(fd);
    DmaPages pages(first, 0);
    expect("DMA", round_trip(edu, pages, iova), Verdict::ok);
    vfio_iommu_type1_dma_unmap unmap{};
    unmap.argsz = sizeof unmap;
    unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
    expect("unmap all", call(container, VFIO_IOMMU_UNMAP_DMA, unmap), 0);
    expect("DMA after it", round_trip(edu, pages, iova), Verdict::blocked);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string mode = argc > 1 ? argv[1] : "";
        const fs::path device = fs::path("/sys/bus/pci/devices") / (argc > 2 ? argv[2] : "0000:00:04.0");
        std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was printed before a fork is not to be printed twice
        by_file = mode == "file";
        if (mode == "va" || mode == "file") {
            prove_iommufd(device);
        } else if (mode == "type1") {
            prove_type1(device);
        } else {
            throw std::invalid_argument("usage: proof_dma va|file|type1 [BDF]");
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "proof_dma: %s\n", error.what());
        return 2;
    }
    return failed ? 1 : 0;
}

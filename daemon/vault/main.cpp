// iommud-vault: the only process of the daemon that runs as root. Sets itself up, gives up what it does not need, and
// serves the one monitor.
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <exception>

#include "daemon/base/bytes.hpp"
#include "daemon/base/log.hpp"
#include "daemon/sandbox/privileges.hpp"
#include "daemon/sandbox/seccomp.hpp"
#include "daemon/sandbox/vault_filter.hpp"
#include "daemon/vault/files.hpp"
#include "daemon/vault/freed_memory.hpp"
#include "daemon/vault/nodes.hpp"
#include "daemon/vault/vault.hpp"

namespace iommud::vault {
namespace {

// docs/PRIVSEP.md gives each its reason.
constexpr std::array<int, 4> capabilities{CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_SYS_RESOURCE};

// What only an administrator can mend, or nobody on this kernel: the unit does not start the vault again.
class Misconfigured : public Fatal {
    using Fatal::Fatal;
};

void refuse_pages_of_other_sizes() {
    if (page_size > largest_page_size) {
        throw Misconfigured(fmt::format("this kernel cannot be served: its pages have {}, and at most {} are served",
                                        format_bytes(page_size), format_bytes(largest_page_size)));
    }
}

// Somebody's uid is never used: that account could signal a keeper.
void refuse_uids_of_others(const UidRanges& uids) {
    for (const UidRange& range : {uids.keepers, uids.workers}) {
        if (auto free = owned_by_nobody(range); !free) {
            throw Misconfigured(free.error().message);
        }
    }
}

template <class T>
T or_fatal(Result<T> result) {
    if (!result) {
        throw Fatal(result.error().message);
    }
    return std::move(*result);
}

// Four descriptors for each lease, and what waits for a monitor.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));  // with fewer there is room for fewer leases
    }
}

void serve(const Options& options) {
    refuse_pages_of_other_sizes();
    ::umask(077);
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    raise_descriptor_limit();
    std::optional<RealWorld> real;
    std::optional<KernelInterface> kernel = KernelInterface::simulated;
    uid_t monitor = ::geteuid();
    if (!options.simulated) {
        if (::geteuid() != 0) {
            throw Fatal("only root can open VFIO nodes for others; as any user: --kernel=simulated");
        }
        const std::string passwd = or_fatal(read_whole("/etc/passwd"));
        monitor = or_fatal(find_user(passwd, "iommud")).uid;
        const User bus_worker = or_fatal(find_user(passwd, "iommud-bus"));
        kernel = probe_kernel();
        refuse_uids_of_others(options.uids);
        real.emplace(RealWorld{Cgroups(), SlotsFile(options.run + "/slots", options.uids.keepers),
                               ValuesFile(options.run + "/held"), bus_worker, options.uids.workers.first,
                               kernel == KernelInterface::iommufd
                                   ? probe_freed_memory(options.libexec + "/iommud-keeper")
                                   : FreedMemory::unreachable});
    }
    Vault vault(options, kernel, std::move(real), monitor);
    if (::chdir("/") != 0) {
        throw Fatal("chdir /");
    }
    sandbox::keep_capabilities(capabilities);
    sandbox::forbid_dumps();
    sandbox::enter_seccomp(sandbox::vault_filter);
    log::info(std::string("serves the kernel interface ") + (kernel ? name_of(*kernel) : "(none: grants are refused)"));
    vault.run();
}

}  // namespace
}  // namespace iommud::vault

int main(int argc, char** argv) {
    iommud::log::open("iommud-vault");
    const auto options = iommud::vault::parse_options(argc, argv);
    if (!options) {
        static_cast<void>(std::fputs(options.error().message.c_str(), stderr));
        return 2;
    }
    if (!*options) {
        return 0;
    }
    if ((*options)->after_stop) {
        const auto given_back = iommud::vault::Cgroups::give_back();
        if (!given_back) {
            iommud::log::error("the next vault may not start: " + given_back.error().message);
        }
        return given_back ? 0 : 1;
    }
    if ((*options)->verbose) {
        iommud::log::set_most_verbose(iommud::log::Priority::debug);
    }
    try {
        iommud::vault::serve(**options);
        return 0;
    } catch (const iommud::vault::Misconfigured& error) {
        iommud::log::error(error.what());
        return EX_CONFIG;
    } catch (const std::exception& error) {
        iommud::log::error(error.what());
        return 1;
    }
}

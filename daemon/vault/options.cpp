#include "daemon/vault/options.hpp"

#include <fmt/format.h>
#include <getopt.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <vector>

namespace iommud::vault {
namespace {

constexpr const char* usage =
    "usage: iommud-vault [--kernel auto|simulated] [--run DIR] [--libexec DIR]\n"
    "                    [--keeper-uids FIRST-LAST] [--worker-uids FIRST-LAST] [--verbose]\n"
    "       iommud-vault --after-stop\n"
    "Opens VFIO and IOMMU nodes for iommud; started by iommud-vault.service. See iommud(8).\n";

std::vector<std::string_view> split(std::string_view line, char separator) {
    std::vector<std::string_view> parts;
    for (std::size_t end = 0; end != std::string_view::npos; line.remove_prefix(end + 1)) {
        end = line.find(separator);
        parts.push_back(line.substr(0, end));
        if (end == std::string_view::npos) {
            break;
        }
    }
    return parts;
}

std::optional<std::uint32_t> parse_id(std::string_view text) {
    std::uint32_t id = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    const bool whole = error == std::errc{} && rest == text.data() + text.size();
    return whole && id != 0 && id != ~0U ? std::optional(id) : std::nullopt;
}

}  // namespace

Result<std::optional<Options>> parse_options(int argc, char** argv) {
    constexpr std::array<option, 10> known{{{"kernel", required_argument, nullptr, 'k'},
                                            {"run", required_argument, nullptr, 'r'},
                                            {"libexec", required_argument, nullptr, 'l'},
                                            {"config", required_argument, nullptr, 'c'},
                                            {"keeper-uids", required_argument, nullptr, 'K'},
                                            {"worker-uids", required_argument, nullptr, 'W'},
                                            {"after-stop", no_argument, nullptr, 'a'},
                                            {"verbose", no_argument, nullptr, 'v'},
                                            {"help", no_argument, nullptr, 'h'},
                                            {}}};
    Options options;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    for (int chosen = 0; (chosen = ::getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
        const std::string_view value = optarg == nullptr ? "" : optarg;
        switch (chosen) {
            case 'k':
                if (value != "auto" && value != "simulated") {
                    return fail(ErrorCode::invalid_argument, fmt::format("--kernel: no kernel is called '{}'", value));
                }
                options.simulated = value == "simulated";
                break;
            case 'r':
                options.run = value;
                break;
            case 'l':
                options.libexec = value;
                break;
            case 'K':
            case 'W':
                if (auto range = parse_uid_range(value); range) {
                    (chosen == 'K' ? options.uids.keepers : options.uids.workers) = *range;
                    break;
                } else {
                    return tl::unexpected(range.error());
                }
            case 'c':  // the monitor's: taken so that one set of options starts both; the vault reads no configuration
                break;
            case 'a':
                options.after_stop = true;
                break;
            case 'v':
                options.verbose = true;
                break;
            case 'h':
                static_cast<void>(std::fputs(usage, stdout));
                return std::nullopt;
            default:
                return fail(ErrorCode::invalid_argument, usage);
        }
    }
    if (optind != argc || !options.run.starts_with('/') || (!options.libexec.empty() && options.libexec[0] != '/')) {
        return fail(ErrorCode::invalid_argument, fmt::format("{}Folders are absolute paths.\n", usage));
    }
    if (auto apart = check_ranges(options.uids); !apart) {
        return tl::unexpected(apart.error());
    }
    if (options.libexec.empty()) {
        std::error_code error;
        options.libexec = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    }
    return options;
}

Result<User> find_user(std::string_view passwd, std::string_view name) {
    for (const std::string_view line : split(passwd, '\n')) {
        const std::vector<std::string_view> fields = split(line, ':');
        if (fields.size() != 7 || fields[0] != name) {
            continue;
        }
        const auto uid = parse_id(fields[2]);
        const auto gid = parse_id(fields[3]);
        if (uid && gid) {
            return User{*uid, *gid};
        }
        return fail(ErrorCode::invalid_argument, fmt::format("/etc/passwd: user {} has no usable uid and gid", name));
    }
    return fail(ErrorCode::invalid_argument,
                fmt::format("/etc/passwd has no user {}: run systemd-sysusers first", name));
}

}  // namespace iommud::vault

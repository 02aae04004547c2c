#include "client/iommuctl/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

#include "client/iommuctl/placeholders.hpp"
#include "client/lib/bus_transport.hpp"
#include "daemon/base/bytes.hpp"
#include "daemon/base/pci_address.hpp"

namespace iommud::ctl {
namespace {

constexpr std::uint32_t most_grace_seconds = 24 * 60 * 60;

// Makes it the address as the daemon writes it.
CLI::Validator device_name() {
    const auto read = [](std::string& text) {
        const auto address = PciAddress::parse_name(text);
        if (!address) {
            return fmt::format("\"{}\" {} (iommuctl devices lists them)", text, why_no_address(text));
        }
        text = address->text();
        return std::string();
    };
    return {read, "DEVICE", "device"};
}

// CLI11 takes "-1" for a very large number.
std::string check_lease(const std::string& text) {
    const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
    return digits && text.find_first_not_of('0') == 0 ? std::string()
                                                      : fmt::format("\"{}\" is no lease's number", text);
}

std::string check_address(const std::string& text) {
    const auto address = lib::normal_address(text);
    return address ? std::string() : address.error().message;
}

std::string check_bytes(const std::string& text) {
    const auto bytes = parse_bytes(text);
    return bytes && *bytes > 0 ? std::string() : fmt::format("\"{}\" is no size; one looks like 12MiB", text);
}

// The options of all verbs, and which of them was named.
class Parser {
  public:
    Parser() {
        app_.require_subcommand(1);
        app_.fallthrough();
        app_.set_version_flag("--version", std::string("iommuctl " IOMMUD_VERSION));
        app_.add_option("--address", settings_.address, "where the daemon listens: unix:path=PATH or an absolute path")
            ->type_name("ADDRESS")
            ->check(check_address);
        add_shows();
        add_lease_verbs();
        add_policy_verbs();
        add_cdi_verbs();
        add_run();
    }

    tl::expected<CommandLine, Usage> parse(std::vector<std::string> own,
                                           std::optional<std::vector<std::string>> program) {
        std::reverse(own.begin(), own.end());  // as CLI11 wants them
        try {
            app_.parse(std::move(own));
        } catch (const CLI::ParseError& error) {
            std::ostringstream out;
            std::ostringstream err;
            const int code = app_.exit(error, out, err);
            return tl::unexpected(code == 0 ? Usage{0, out.str()} : Usage{2, err.str()});
        }
        if (program.has_value() != std::holds_alternative<Run>(verb_) || (program && program->empty())) {
            return tl::unexpected(Usage{2,
                                        "iommuctl run [OPTIONS] -- PROGRAM [ARGUMENTS]: the program comes after --, "
                                        "and only run has one\n"});
        }
        if (Run* run = std::get_if<Run>(&verb_)) {
            run->program = std::move(*program);
            if (const std::string problem = placeholder_problem(*run); !problem.empty()) {
                return tl::unexpected(Usage{2, problem + '\n'});
            }
        }
        return CommandLine{std::move(settings_), std::move(verb_)};
    }

  private:
    // A verb whose options are the members of `options`, which outlive the parsing.
    template <class Options>
    CLI::App* add_verb(CLI::App& parent, const char* name, const char* description, const Options* options) {
        CLI::App* verb = parent.add_subcommand(name, description);
        verb->fallthrough();
        verb->callback([this, options] { verb_ = *options; });
        return verb;
    }

    void add_output(CLI::App* verb, bool table = true) {
        verb->add_flag("--json", settings_.json, "print JSON, with the names of the D-Bus properties");
        if (table) {
            verb->add_flag("!--no-legend", settings_.legend, "print no header");
        }
    }

    void add_shows() {
        add_output(add_verb(app_, "status", "what the daemon is and how it does", &status_));
        add_output(add_verb(app_, "devices", "the devices that the daemon knows", &devices_));
        add_output(add_verb(app_, "leases", "the leases that you may see", &leases_));
        add_output(add_verb(app_, "accounts", "limits and what is used of them", &accounts_));
        CLI::App* device = app_.add_subcommand("device", "one device")->require_subcommand(1)->fallthrough();
        CLI::App* show = add_verb(*device, "show", "all about a device", &device_show_);
        show->add_option("ADDRESS", device_show_.address, "such as 0000:81:00.0")->required()->transform(device_name());
        add_output(show, false);
    }

    void add_lease_verbs() {
        CLI::App* lease = app_.add_subcommand("lease", "one lease")->require_subcommand(1)->fallthrough();
        CLI::App* show = add_verb(*lease, "show", "all about a lease", &lease_show_);
        show->add_option("ID", lease_show_.lease, "its number in iommuctl leases")->required()->check(check_lease);
        add_output(show, false);
        CLI::App* revoke = add_verb(*lease, "revoke", "take a lease back (as root)", &lease_revoke_);
        revoke->add_option("ID", lease_revoke_.lease, "its number in iommuctl leases")->required()->check(check_lease);
        revoke->add_option("--grace", lease_revoke_.grace_seconds, "time to let go by itself")
            ->type_name("SECONDS")
            ->check(CLI::Range(0U, most_grace_seconds));
        revoke->add_option("--reason", lease_revoke_.reason, "for the journal")->type_name("TEXT");
    }

    void add_policy_verbs() {
        add_verb(app_, "reload", "load the policy again (as root)", &reload_);
        CLI::App* policy = app_.add_subcommand("policy", "who may have what")->require_subcommand(1)->fallthrough();
        CLI::App* check = add_verb(*policy, "check", "look policy files over, without the daemon", &check_);
        CLI::Option* config = check->add_option("--config", check_.config, "the daemon's folder of policy.d")
                                  ->type_name("DIR")
                                  ->capture_default_str();
        check->add_option("FILE", check_.paths, "files, or folders of *.json; default: what the daemon would load")
            ->excludes(config);
        add_output(check);
        add_output(add_verb(*policy, "show", "the policy in force (as root)", &show_));
        CLI::App* explain = add_verb(*policy, "explain", "whether a request would be granted, and why", &explain_);
        explain->add_option("--user", explain_.user, "ask for somebody else (as root)")->type_name("NAME|UID");
        add_request(explain, explain_.mode, explain_.memory);
        explain->add_option("DEVICE", explain_.devices, "such as 0000:81:00.0")->required()->transform(device_name());
        add_output(explain);
    }

    void add_cdi_verbs() {
        CLI::App* cdi =
            app_.add_subcommand("cdi", "devices for container engines")->require_subcommand(1)->fallthrough();
        CLI::App* generate = add_verb(*cdi, "generate", "describe the devices to container engines", &cdi_generate_);
        generate->add_option("--output", cdi_generate_.output, "a folder that engines read, such as /etc/cdi")
            ->type_name("DIR");
        generate->add_option("--hook", cdi_generate_.hook, "where iommud-oci-hook is")
            ->type_name("PATH")
            ->check([](const std::string& path) {
                return path.starts_with('/') ? std::string() : "\"" + path + "\" is no absolute path";
            });
        CLI::App* list = add_verb(*cdi, "list", "the names that container engines know", &cdi_list_);
        list->add_option("DIR", cdi_list_.folders, "folders to look into; default: /etc/cdi and /run/cdi");
    }

    void add_run() {
        CLI::App* run =
            add_verb(app_, "run", "run a program with a lease: run [OPTIONS] -- PROGRAM [ARGUMENTS]", &run_);
        run->add_option("--device", run_.devices, "such as 0000:81:00.0; may be given several times")
            ->type_name("ADDRESS")
            ->required()
            ->allow_extra_args(false)  // one each, so that what follows is not taken for another
            ->transform(device_name());
        add_request(run, run_.mode, run_.memory);
        run->add_option("--label", run_.label, "for people, in iommuctl leases")->type_name("TEXT");
    }

    void add_request(CLI::App* verb, std::string& mode, std::uint64_t& memory) {
        verb->add_option("--mode", mode, "managed, direct or legacy")
            ->type_name("MODE")
            ->check(CLI::IsMember({"managed", "direct", "legacy"}));
        verb->add_option_function<std::string>(
                "--memory", [to = &memory](const std::string& text) { *to = parse_bytes(text).value_or(0); },
                "to reserve for maps, such as 12MiB")
            ->type_name("SIZE")
            ->check(check_bytes);
    }

    CLI::App app_{"Leases of devices and of the memory they reach, from iommud", "iommuctl"};
    Settings settings_;
    Verb verb_;
    Status status_;
    Devices devices_;
    DeviceShow device_show_;
    Leases leases_;
    LeaseShow lease_show_;
    LeaseRevoke lease_revoke_;
    Accounts accounts_;
    Reload reload_;
    PolicyCheck check_;
    PolicyShow show_;
    PolicyExplain explain_;
    CdiGenerate cdi_generate_;
    CdiList cdi_list_;
    Run run_;
};

}  // namespace

tl::expected<CommandLine, Usage> parse_command_line(std::vector<std::string> arguments) {
    // What comes after the first "--" is a program's: no option of ours is looked for in it.
    std::optional<std::vector<std::string>> program;
    if (const auto dashes = std::find(arguments.begin(), arguments.end(), "--"); dashes != arguments.end()) {
        program.emplace(dashes + 1, arguments.end());
        arguments.erase(dashes, arguments.end());
    }
    Parser parser;
    return parser.parse(std::move(arguments), std::move(program));
}

}  // namespace iommud::ctl

#include "daemon/worker/senders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <string_view>

#include "daemon/ipc/codec.hpp"
#include "daemon/worker/names.hpp"

namespace iommud::worker {
namespace {

constexpr const char* driver = "org.freedesktop.DBus";
constexpr const char* driver_path = "/org/freedesktop/DBus";

std::string driver_signal(const char* member, const char* more) {
    return fmt::format("type='signal',sender='{0}',path='{1}',interface='{0}',member='{2}',{3}", driver, driver_path,
                       member, more);
}

// One entry's value: a number, a list of numbers, or something else that is passed over.
int read_entry(sd_bus_message* reply, std::optional<std::uint32_t>& uid,
               std::optional<std::vector<std::uint32_t>>& groups) {
    const char* key = nullptr;
    int result = sd_bus_message_read_basic(reply, SD_BUS_TYPE_STRING, &key);
    if (result <= 0) {
        return result;
    }
    if (std::string_view(key) == "UnixUserID") {
        std::uint32_t number = 0;
        result = sd_bus_message_read(reply, "v", "u", &number);
        uid = number;
    } else if (std::string_view(key) == "UnixGroupIDs") {
        const void* numbers = nullptr;
        std::size_t bytes = 0;
        result = sd_bus_message_enter_container(reply, 'v', "au");
        if (result > 0 && (result = sd_bus_message_read_array(reply, 'u', &numbers, &bytes)) >= 0) {
            const auto* const first = static_cast<const std::uint32_t*>(numbers);
            groups.emplace(first, first + bytes / sizeof *first);
            result = sd_bus_message_exit_container(reply);
        }
    } else {
        result = sd_bus_message_skip(reply, "v");
    }
    return result;
}

}  // namespace

Result<Vouched> read_credentials(sd_bus_message* reply) {
    std::optional<std::uint32_t> uid;
    std::optional<std::vector<std::uint32_t>> groups;
    int result = sd_bus_message_enter_container(reply, 'a', "{sv}");
    while (result > 0 && (result = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
        result = read_entry(reply, uid, groups);
        if (result >= 0) {
            result = sd_bus_message_exit_container(reply);
        }
    }
    if (result < 0 || !uid || *uid == 0xffffffff || !groups || groups->size() > ipc::max_list) {
        return fail(ErrorCode::access_denied, "the system bus does not say which uid and groups ask");
    }
    return Vouched{*uid, std::move(*groups)};
}

// The borders between sd-bus and our code: what is thrown ends the worker once sd-bus has returned.
int Senders::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) noexcept {
    Entry& entry = *static_cast<Entry*>(userdata);
    Senders& senders = *entry.senders;
    try {
        senders.told(entry, reply);
        return 0;
    } catch (...) {
        senders.failure_.keep(std::current_exception());
        return -ECANCELED;
    }
}

int Senders::on_vanished(sd_bus_message* signal, void* userdata, sd_bus_error*) noexcept {
    Senders& senders = *static_cast<Senders*>(userdata);
    try {
        senders.name_changed(signal);
        return 0;
    } catch (...) {
        senders.failure_.keep(std::current_exception());
        return -ECANCELED;
    }
}

int Senders::on_lost(sd_bus_message*, void* userdata, sd_bus_error*) noexcept {
    Senders& senders = *static_cast<Senders*>(userdata);
    try {
        senders.handlers_.name_lost();
        return 0;
    } catch (...) {
        senders.failure_.keep(std::current_exception());
        return -ECANCELED;
    }
}

Senders::Senders(sd_bus* bus, CallbackFailure& failure, Handlers handlers)
    : bus_(bus), failure_(failure), handlers_(std::move(handlers)) {
    const std::string gone = driver_signal("NameOwnerChanged", "arg2=''");
    const std::string lost = driver_signal("NameLost", fmt::format("arg0='{}'", bus_name).c_str());
    must(sd_bus_add_match(bus, nullptr, gone.c_str(), on_vanished, this), "hear of names that vanish");
    must(sd_bus_add_match(bus, nullptr, lost.c_str(), on_lost, this), "hear of the loss of org.iommud1");
}

Result<void> Senders::ask(std::uint64_t cookie, sd_bus_message* call) {
    const char* const name = sd_bus_message_get_sender(call);
    if (name == nullptr) {
        return fail(ErrorCode::access_denied, "the system bus does not say who asks");
    }
    const auto same = [name](const auto& entry) { return entry.second.name == name; };
    if (std::count_if(entries_.begin(), entries_.end(), same) >= static_cast<std::ptrdiff_t>(most_of_one_name)) {
        return fail(
            ErrorCode::invalid_argument,
            fmt::format("{} requests of {} are waiting for an answer, more are not taken", most_of_one_name, name));
    }
    Entry& entry = entries_[cookie];
    entry.senders = this;
    entry.cookie = cookie;
    entry.name = name;
    sd_bus_slot* slot = nullptr;
    must(sd_bus_call_method_async(bus_, &slot, driver, driver_path, driver, "GetConnectionCredentials", on_reply,
                                  &entry, "s", name),
         "ask the system bus who it is");
    entry.question.reset(slot);
    return {};
}

void Senders::told(Entry& entry, sd_bus_message* reply) {
    const std::uint64_t cookie = entry.cookie;
    if (sd_bus_message_is_method_error(reply, "org.freedesktop.DBus.Error.NameHasNoOwner") > 0) {
        entries_.erase(cookie);
        return handlers_.vanished(cookie);
    }
    const Result<Vouched> who = read_credentials(reply);
    if (!who) {
        return handlers_.refused(cookie, who.error());
    }
    const auto same = [&who](const auto& other) { return other.second.uid == who->uid; };
    if (std::count_if(entries_.begin(), entries_.end(), same) >= static_cast<std::ptrdiff_t>(most_of_one_uid)) {
        return handlers_.refused(
            cookie, Error{ErrorCode::invalid_argument,
                          fmt::format("{} requests of uid {} are waiting for an answer, more are not taken",
                                      most_of_one_uid, who->uid)});
    }
    entry.uid = who->uid;
    handlers_.known(cookie, *who);
}

void Senders::name_changed(sd_bus_message* signal) {
    const char* name = nullptr;
    const char* before = nullptr;
    const char* after = nullptr;
    if (sd_bus_message_read(signal, "sss", &name, &before, &after) < 0 || *after != '\0') {
        return;
    }
    std::vector<std::uint64_t> cookies;
    for (const auto& [cookie, entry] : entries_) {
        if (entry.name == name) {
            cookies.push_back(cookie);
        }
    }
    for (const std::uint64_t cookie : cookies) {
        entries_.erase(cookie);
        handlers_.vanished(cookie);
    }
}

}  // namespace iommud::worker

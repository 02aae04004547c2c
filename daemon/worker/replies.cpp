#include "daemon/worker/replies.hpp"

#include "daemon/worker/names.hpp"
#include "daemon/worker/options.hpp"
#include "daemon/worker/text.hpp"

namespace iommud::worker {
namespace {

// DESIGN §5: at most 253 descriptors in a reply on a socket. A lease is never given on the system bus, which takes 16.
static_assert(most_lease_devices + 3 <= ipc::max_fds, "a lease's descriptors fit into one reply");

void append_fds(sd_bus_message* reply, const std::vector<std::string>& names, const std::vector<UniqueFd>& fds) {
    must(sd_bus_message_open_container(reply, 'a', "(sh)"), "open the descriptors");
    for (std::size_t i = 0; i < fds.size(); ++i) {
        must(sd_bus_message_append(reply, "(sh)", names.at(i).c_str(), fds[i].get()), "append a descriptor");
    }
    must(sd_bus_message_close_container(reply), "close the descriptors");
}

void append_groups(sd_bus_message* reply, const std::vector<PciAddress>& devices, const Replica& replica) {
    must(sd_bus_message_open_container(reply, 'e', "sv"), "open an entry");
    must(append(reply, "iommu_groups"), "append a key");
    must(sd_bus_message_open_container(reply, 'v', "ai"), "open a variant");
    must(sd_bus_message_open_container(reply, 'a', "i"), "open the groups");
    for (const PciAddress& address : devices) {
        const ipc::DeviceView* const device = replica.device(address);
        must(append(reply, device == nullptr ? -1 : device->iommu_group), "append a group");
    }
    must(sd_bus_message_close_container(reply), "close the groups");
    must(sd_bus_message_close_container(reply), "close a variant");
    must(sd_bus_message_close_container(reply), "close an entry");
}

void append_account(sd_bus_message* reply, const ipc::AccountEntry& account) {
    must(sd_bus_message_open_container(reply, 'a', "{sv}"), "open an account");
    append_entry(reply, "Uid", "u", account.uid);
    append_entry(reply, "MemoryLimit", "t", account.memory_limit);
    append_entry(reply, "MemoryReserved", "t", account.memory_reserved);
    append_entry(reply, "MemoryMapped", "t", account.memory_mapped);
    append_entry(reply, "Leases", "u", account.leases);
    append_entry(reply, "LeaseLimit", "u", account.lease_limit);
    append_entry(reply, "Devices", "u", account.devices);
    append_entry(reply, "DeviceLimit", "u", account.device_limit);
    must(sd_bus_message_close_container(reply), "close an account");
}

// aa{sv} of texts
void append_texts(sd_bus_message* reply, const std::vector<ipc::Texts>& entries) {
    must(sd_bus_message_open_container(reply, 'a', "a{sv}"), "open the entries");
    for (const auto& entry : entries) {
        must(sd_bus_message_open_container(reply, 'a', "{sv}"), "open an entry");
        for (const auto& [key, value] : entry) {
            std::string copy;
            must(sd_bus_message_append(reply, "{sv}", key.c_str(), "s", valid_text(value, copy)), "append a text");
        }
        must(sd_bus_message_close_container(reply), "close an entry");
    }
    must(sd_bus_message_close_container(reply), "close the entries");
}

}  // namespace

MessagePtr empty_reply(sd_bus_message* call) {
    sd_bus_message* raw = nullptr;
    must(sd_bus_message_new_method_return(call, &raw), "make a reply");
    return MessagePtr(raw);
}

MessagePtr acquire_reply(sd_bus_message* call, LeaseId lease, const std::vector<std::string>& names,
                         const std::vector<UniqueFd>& fds, const std::vector<PciAddress>& devices,
                         const Replica& replica) {
    MessagePtr reply = empty_reply(call);
    must(sd_bus_message_append(reply.get(), "o", lease_path(lease).c_str()), "append the lease");
    append_fds(reply.get(), names, fds);
    must(sd_bus_message_open_container(reply.get(), 'a', "{sv}"), "open the info");
    append_entry(reply.get(), "simulated", "b", replica.manager().kernel == KernelInterface::simulated);
    // A lease that ended while it was delivered has gone from the replica.
    if (const ipc::LeaseView* const view = replica.lease(lease)) {
        append_entry(reply.get(), "account", "u", view->record.account_uid);
        append_entry(reply.get(), "memory", "t", view->record.memory);
    }
    append_groups(reply.get(), devices, replica);
    must(sd_bus_message_close_container(reply.get()), "close the info");
    return reply;
}

MessagePtr add_reply(sd_bus_message* call, const std::vector<std::string>& names, const std::vector<UniqueFd>& fds) {
    MessagePtr reply = empty_reply(call);
    append_fds(reply.get(), names, fds);
    return reply;
}

MessagePtr explain_reply(sd_bus_message* call, const ipc::ExplainEntries& entries) {
    MessagePtr reply = empty_reply(call);
    must(append(reply.get(), entries.allowed), "append the answer");
    must(append(reply.get(), entries.decision), "append the decision");
    append_texts(reply.get(), entries.trace);
    return reply;
}

MessagePtr endpoint_reply(sd_bus_message* call, const std::string& path) {
    MessagePtr reply = empty_reply(call);
    must(append(reply.get(), path), "append the path");
    return reply;
}

MessagePtr policy_reply(sd_bus_message* call, const ipc::PolicyEntries& policy) {
    MessagePtr reply = empty_reply(call);
    append_texts(reply.get(), policy.entries);
    return reply;
}

MessagePtr accounts_reply(sd_bus_message* call, const std::vector<ipc::AccountEntry>& accounts) {
    MessagePtr reply = empty_reply(call);
    must(sd_bus_message_open_container(reply.get(), 'a', "a{sv}"), "open the accounts");
    for (const ipc::AccountEntry& account : accounts) {
        append_account(reply.get(), account);
    }
    must(sd_bus_message_close_container(reply.get()), "close the accounts");
    return reply;
}

}  // namespace iommud::worker

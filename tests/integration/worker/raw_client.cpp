#include "tests/integration/worker/raw_client.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace iommud::worker::test {
namespace {

constexpr int patience_ms = 10'000;
constexpr int full_ms = 2'000;

bool wait_for(int fd, short events, int most_ms) {
    pollfd waiting{fd, events, 0};
    return ::poll(&waiting, 1, most_ms) == 1;
}

}  // namespace

RawCall::RawCall(std::string_view path, std::string_view interface, std::string_view member,
                 std::string_view body_signature, std::uint32_t fds) {
    field(1, "o", path);
    field(2, "s", interface);
    field(3, "s", member);
    if (!body_signature.empty()) {
        field(8, "g", body_signature);
    }
    if (fds > 0) {
        field(9, "u", "");
        put_u32(fields_, fds);
    }
}

void RawCall::patch_u32(std::size_t at, std::uint32_t value) {
    std::memcpy(body_.data() + at, &value, sizeof value);
}

std::string RawCall::bytes() const {
    std::string out("l\1\0\1", 4);  // little-endian, method call, no flags, version 1
    put_u32(out, static_cast<std::uint32_t>(body_.size()));
    put_u32(out, 1);  // serial
    put_u32(out, static_cast<std::uint32_t>(fields_.size()));
    out += fields_;
    out.resize((out.size() + 7) / 8 * 8);
    return out + body_;
}

void RawCall::put_u32(std::string& out, std::uint32_t value) {
    out.resize((out.size() + 3) / 4 * 4);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void RawCall::put_string(std::string& out, std::string_view text) {
    put_u32(out, static_cast<std::uint32_t>(text.size()));
    out.append(text).push_back('\0');
}

void RawCall::put_signature(std::string& out, std::string_view text) {
    out.push_back(static_cast<char>(text.size()));
    out.append(text).push_back('\0');
}

void RawCall::field(std::uint8_t code, std::string_view type, std::string_view value) {
    fields_.resize((fields_.size() + 7) / 8 * 8);
    fields_.push_back(static_cast<char>(code));
    put_signature(fields_, type);
    if (type == "g") {
        put_signature(fields_, value);
    } else if (type != "u") {
        put_string(fields_, value);
    }
}

bool RawClient::write(std::string_view bytes, std::span<const int> fds) {
    while (!bytes.empty()) {
        iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(253 * sizeof(int))> buffer{};
        msghdr header{};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        if (!fds.empty()) {
            header.msg_control = buffer.data();
            header.msg_controllen = CMSG_SPACE(fds.size_bytes());
            cmsghdr* const control = CMSG_FIRSTHDR(&header);
            control->cmsg_level = SOL_SOCKET;
            control->cmsg_type = SCM_RIGHTS;
            control->cmsg_len = CMSG_LEN(fds.size_bytes());
            std::memcpy(CMSG_DATA(control), fds.data(), fds.size_bytes());
        }
        const ssize_t written = ::sendmsg(connection_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
            fds = {};
        } else if (errno != EAGAIN || !wait_for(connection_.get(), POLLOUT, full_ms)) {
            return false;
        }
    }
    return true;
}

bool RawClient::read_some() {
    std::array<char, 65536> buffer{};
    if (!wait_for(connection_.get(), POLLIN, patience_ms)) {
        return false;
    }
    const ssize_t size = ::recv(connection_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size <= 0) {
        return false;
    }
    read_.append(buffer.data(), static_cast<std::size_t>(size));
    return true;
}

bool RawClient::read_until(std::string_view wanted) {
    while (read_.find(wanted) == std::string::npos) {
        if (!read_some()) {
            return false;
        }
    }
    return true;
}

bool RawClient::gone_in_time() {
    while (read_some()) {
    }
    char byte = 0;
    const ssize_t size = ::recv(connection_.get(), &byte, 1, MSG_DONTWAIT);
    return size == 0 || (size < 0 && errno != EAGAIN);
}

}  // namespace iommud::worker::test

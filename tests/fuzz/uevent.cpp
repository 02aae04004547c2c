// Datagrams on the uevent socket.
#include "daemon/inventory/uevent.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto event = iommud::parse_uevent(std::span(reinterpret_cast<const char*>(data), size));
    return event && event->device && !iommud::PciAddress::parse(event->device->text()) ? __builtin_trap(), 0 : 0;
}

// D-Bus values as JSON: what --json prints, and what tables are made of.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "client/lib/bus_transport.hpp"

namespace iommud::ctl {

using lib::Outcome;
using nlohmann::json;

// Reads the next complete value of `message`: a{..} becomes an object, other arrays and structs an array, a variant
// what is in it. Descriptors are not values: IOMMUD_ERROR_PROTOCOL.
[[nodiscard]] Outcome<json> read_value(sd_bus_message* message);

// An object's member as a person reads it; "" where there is none, or it is of another type.
[[nodiscard]] std::string text_of(const json& object, const char* key);
[[nodiscard]] std::string number_of(const json& object, const char* key);
[[nodiscard]] std::string size_of(const json& object, const char* key);  // bytes: "12 MiB"
[[nodiscard]] std::string list_of(const json& object, const char* key);  // strings, with ", " in between

}  // namespace iommud::ctl

// Result<T>: what the direct caller must handle. Fatal: what nobody can; caught in main only.
#pragma once

#include <stdexcept>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "daemon/base/error.hpp"

namespace iommud {

template <class T>
using Result = tl::expected<T, Error>;

// return fail(ErrorCode::no_such_device, "no device 0000:00:09.0");
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
    return tl::unexpected<Error>(Error{code, std::move(message)});
}

// The process cannot go on: main logs it and exits with failure.
class Fatal : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace iommud

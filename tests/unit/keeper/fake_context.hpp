// A kernel that does what a test says, and writes down what was asked of it.
#pragma once

#include <string>
#include <vector>

#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

struct FakeContext : kernel::DmaContext {
    std::vector<std::string> calls;
    std::vector<int> unmap_all_errors;  // one for each call; then success
    std::vector<int> destroy_errors;
    std::vector<int> map_errors;
    int busy_drains = 0;  // how often let_go() still says no
    bool reset_works = true;
    bool places_maps = false;
    std::size_t fail_device = SIZE_MAX;  // which add_device fails
    std::size_t devices = 0;
    std::vector<std::optional<Uuid>> tokens;
    int reset_together_error = ENODEV;
    std::size_t resets_together = 0;
    std::vector<kernel::MapRequest> requests;

    static int next(std::vector<int>& errors) {
        if (errors.empty()) {
            return 0;
        }
        const int error = errors.front();
        errors.erase(errors.begin());
        return error;
    }

    Result<kernel::Device> add_device(UniqueFd, const PciAddress& address,
                                      const std::optional<Uuid>& vf_token) override {
        tokens.push_back(vf_token);
        calls.push_back("add " + address.text());
        if (devices == fail_device) {
            return fail(ErrorCode::device_busy, "busy");
        }
        ++devices;
        return kernel::Device{BorrowedFd(0), reset_works};
    }
    int reset_together(BorrowedFd) override {
        ++resets_together;
        return reset_together_error;
    }
    void remove_devices(std::size_t keep) override {
        calls.push_back("keep " + std::to_string(keep));
        devices = keep;
    }
    Result<kernel::Geometry> geometry() const override { return kernel::Geometry(); }
    bool chooses_iova() const override { return places_maps; }
    kernel::MapResult map(const kernel::MapRequest& request) override {
        requests.push_back(request);
        return {next(map_errors), request.iova.value_or(0x5000), 0};
    }
    int unmap(const kernel::Map&) override {
        calls.emplace_back("unmap");
        return 0;
    }
    int unmap_all(std::span<const kernel::Map>) override {
        calls.emplace_back("unmap all");
        return next(unmap_all_errors);
    }
    void detach_devices() override { calls.emplace_back("detach"); }
    int destroy() override {
        calls.emplace_back("destroy");
        return next(destroy_errors);
    }
    void close_devices() override { calls.emplace_back("close"); }
    bool let_go() override {
        calls.emplace_back("let go");
        return busy_drains-- <= 0;
    }
};

}  // namespace iommud::keeper

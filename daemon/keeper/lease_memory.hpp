// Map, Unmap and Query: what a request means for the lease's memory, and its answer. No memory is touched here that
// was not locked before.
#pragma once

#include <cstdint>
#include <utility>

#include "daemon/keeper/lease_frames.hpp"
#include "daemon/keeper/map_table.hpp"
#include "daemon/kernel/context.hpp"

namespace iommud::keeper {

class LeaseMemory {
  public:
    // `context` outlives this. `reserve`: bytes that may be mapped. `table`: empty, as large as maps are allowed.
    LeaseMemory(kernel::DmaContext& context, std::uint64_t reserve, MapTable table)
        : context_(context), table_(std::move(table)), reserve_(reserve) {}

    // Where maps may lie; again whenever devices were added.
    void set_geometry(const kernel::Geometry& geometry) { geometry_ = geometry; }

    [[nodiscard]] iommud_reply map(const iommud_request& request, BorrowedFd memory);
    [[nodiscard]] iommud_reply unmap(const iommud_request& request);
    [[nodiscard]] iommud_query_reply query(const iommud_request& request, std::uint32_t channels) const;

    // Ends all DMA; an errno.
    [[nodiscard]] int unmap_all();

    [[nodiscard]] std::uint64_t mapped() const { return table_.bytes(); }
    [[nodiscard]] std::uint32_t maps() const { return table_.size(); }

  private:
    [[nodiscard]] std::uint64_t left() const { return reserve_ - table_.bytes(); }
    [[nodiscard]] iommud_reply refusal(const iommud_request& request, int error_number) const;

    kernel::DmaContext& context_;
    MapTable table_;
    kernel::Geometry geometry_;
    std::uint64_t reserve_;
};

}  // namespace iommud::keeper

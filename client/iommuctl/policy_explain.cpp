// iommuctl policy explain DEVICE...
#include <unistd.h>

#include "client/iommuctl/daemon_calls.hpp"
#include "client/iommuctl/tables.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const PolicyExplain& verb, const Settings& settings) {
    const auto bus = connect(settings);
    if (!bus) {
        return tl::unexpected(bus.error());
    }
    const auto explanation = explain(*bus, verb);
    if (!explanation) {
        return tl::unexpected(explanation.error());
    }
    const bool allowed = explanation->at("Allowed") == true;
    const auto printed = settings.json ? print_json(*explanation)
                                       : print(explanation_text(*explanation, style_for(settings, STDOUT_FILENO)));
    return printed && !allowed ? lib::exit_code(IOMMUD_ERROR_ACCESS_DENIED) : printed;
}

}  // namespace iommud::ctl

// iommuctl cdi list: what engines find.
#include <fstream>

#include "client/iommuctl/cdi.hpp"
#include "client/iommuctl/verbs.hpp"

namespace iommud::ctl {

Outcome<int> perform(const CdiList& verb, const Settings&) {
    std::string text;
    for (const std::string& folder : verb.folders) {
        std::ifstream file(folder + "/iommud.json");
        const json spec = json::parse(file, nullptr, false);
        for (const std::string& name : cdi_names(spec)) {
            text += printable(name) + "\n";
        }
    }
    return print(text);
}

}  // namespace iommud::ctl

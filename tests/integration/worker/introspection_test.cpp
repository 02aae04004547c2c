// The XML in systemd/introspection is the truth; what the worker answers is compared with it.
#include <fstream>
#include <sstream>

#include "daemon/worker/names.hpp"
#include "tests/integration/worker/fake_monitor.hpp"

namespace iommud::worker::test {
namespace {

using Lines = std::vector<std::string>;

constexpr std::string_view admin_mark = "<annotation name=\"org.iommud1.AdminSocketOnly\" value=\"true\"/>";

// The lines of one interface's element without their indentation; "<property …>" + "</property>" as "<property …/>".
Lines interface_lines(const std::string& xml, const std::string& interface) {
    std::istringstream text(xml);
    Lines lines;
    bool inside = false;
    for (std::string line; std::getline(text, line);) {
        line.erase(0, line.find_first_not_of(' '));
        inside = inside || line == "<interface name=\"" + interface + "\">";
        const bool empty_property = line == "</property>" && !lines.empty() && lines.back().starts_with("<property");
        if (inside && empty_property) {
            lines.back().insert(lines.back().size() - 1, "/");
        } else if (inside) {
            lines.push_back(line);
        }
        inside = inside && line != "</interface>";
    }
    return lines;
}

Lines told(const std::string& interface) {
    std::ifstream file(std::string(IOMMUD_INTROSPECTION_FOLDER) + "/" + interface + ".xml");
    std::stringstream text;
    text << file.rdbuf();
    return interface_lines(text.str(), interface);
}

Lines without_marks(Lines lines) {
    std::erase(lines, admin_mark);
    return lines;
}

Lines without_marked_methods(const Lines& lines) {
    Lines kept;
    std::size_t method = 0;
    for (const std::string& line : lines) {
        method = line.starts_with("<method") ? kept.size() : method;
        kept.push_back(line);
        if (line == admin_mark) {
            kept.resize(method);
            kept.emplace_back("marked");  // its closing line follows
        }
    }
    for (auto marked = std::find(kept.begin(), kept.end(), "marked"); marked != kept.end();
         marked = std::find(kept.begin(), kept.end(), "marked")) {
        kept.erase(marked, marked + 2);
    }
    return kept;
}

TEST_F(WorkerTest, TheManagerIsAsItsXmlSays) {
    begin();

    const Lines answered = interface_lines(client->introspect(manager_path), manager_interface);

    ASSERT_GT(answered.size(), 20U);
    EXPECT_EQ(answered, without_marked_methods(told(manager_interface)));
}

TEST_F(WorkerTest, TheAdministratorsManagerIsAsItsXmlSays) {
    begin(ConnectionKind::admin);

    const Lines answered = interface_lines(client->introspect(manager_path), manager_interface);

    ASSERT_GT(answered.size(), 30U);
    EXPECT_EQ(answered, without_marks(told(manager_interface)));
}

TEST_F(WorkerTest, ADeviceIsAsItsXmlSays) {
    begin();

    const Lines answered = interface_lines(client->introspect(first_device_path), device_interface);

    ASSERT_GT(answered.size(), 10U);
    EXPECT_EQ(answered, told(device_interface));
}

TEST_F(WorkerTest, ALeaseIsAsItsXmlSays) {
    begin();
    tell(lease_view(9, LeaseState::active));

    const Lines answered = interface_lines(client->introspect("/org/iommud1/lease/9"), lease_interface);

    ASSERT_GT(answered.size(), 10U);
    EXPECT_EQ(answered, told(lease_interface));
}

}  // namespace
}  // namespace iommud::worker::test

#include "tests/lint/self_test.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "tests/lint/functions.h"
#include "tests/lint/rules.h"

namespace rhz::lint {
namespace {

struct Case {
  const char* path;
  std::string content;
  std::vector<std::string> expected;  // "line: rule", in order
};

std::string lines(int count, const std::string& line = "") {
  std::string text;
  for (int i = 0; i < count; i++) text += line + "\n";
  return text;
}

std::string function(int line_count) {
  return "int f(int x) {\n" + lines(line_count - 2, "  x++;") + "}\n";
}

const std::string kUnfinishedWord = std::string("TO") + "DO";

std::vector<Case> layer_cases() {
  const char* up = "#include \"runtime/membership/member.h\"\n";
  const char* agreement = "#include \"runtime/agreement/report.h\"\n";
  return {
      {"runtime/base/a.h", up, {"1: layer"}},
      {"runtime/membership/a.h", up, {}},
      {"runtime/loop/a.cc", "\n  #  include \"runtime/transport/transport.h\"\n", {"2: layer"}},
      {"runtime/transport/tcp/a.cc", "#include \"runtime/transport/transport.h\"\n", {}},
      {"runtime/transport/open.cc", "#include \"runtime/transport/tcp/tcp_transport.h\"\n", {}},
      {"runtime/membership/b.h", "#include \"collectives/executor.h\"\n", {"1: layer"}},
      {"collectives/schedule/a.h", "#include \"collectives/executor.h\"\n", {"1: layer"}},
      {"collectives/reduce/a.h", "#include \"collectives/rebuild/op.h\"\n", {"1: layer"}},
      {"collectives/executor.h", "#include \"collectives/rebuild/op.h\"\n", {}},
      {"collectives/a.h", "#include \"recovery/state/registry.h\"\n", {"1: layer"}},
      {"recovery/state/a.h", "#include \"recovery/sync/donor.h\"\n", {"1: layer"}},
      {"recovery/sync/a.h", "#include \"recovery/state/registry.h\"\n", {}},
      {"recovery/state/b.h", "#include \"rhizome/rhizome.h\"\n", {"1: layer"}},
      {"api/src/a.cc", "#include \"rhizome/rhizome.h\"\n#include \"runtime/base/status.h\"\n", {}},
      {"api/src/b.cc", "#include \"tests/sim/net.h\"\n", {"1: layer"}},
      {"tests/unit/a.cc", up, {}},
      {"api/examples/a.c", "#include <rhizome/rhizome.h>\n", {}},
      {"api/examples/b.c", "#include \"api/src/guard.h\"\n", {"1: layer"}},
      // Reports and decisions are plain data that control messages carry; not the other way round
      // as well.
      {"runtime/wire/a.h", agreement, {}},
      {"runtime/wire/b.h", up, {"1: layer"}},
      {"runtime/agreement/a.h", "#include \"runtime/wire/frame.h\"\n", {"1: layer"}},
      {"runtime/new/a.h", "", {"1: layer"}},
      {"elsewhere/a.h", "", {"1: layer"}},
      {"runtime/base/b.cc", "#include \"runtime/new/a.h\"\n", {"1: layer"}},
      {"runtime/base/c.cc", "#include \"status.h\"\n", {"1: include-path"}},
      {"runtime/base/d.cc", "// #include \"status.h\"\n/*\n#include \"status.h\"\n*/\n", {}},
      {"runtime/base/e.cc", "const char* s = R\"x(\n#include \"status.h\"\n)x\";\n", {}},
  };
}

std::vector<Case> cage_cases() {
  return {
      {"runtime/loop/asio_loop.cc", "#include <asio.hpp>\n", {}},
      {"runtime/transport/tcp/a.cc", "#include <asio/ip/tcp.hpp>\n", {}},
      {"runtime/transport/shm/a.cc", "#include <asio/ip/tcp.hpp>\n", {"1: cage"}},
      {"runtime/wire/codec.cc", "#include <capnp/message.h>\n#include \"control.capnp.h\"\n", {}},
      {"runtime/wire/codec_report.cc", "#include <kj/array.h>\n", {}},
      {"runtime/wire/frame.cc", "#include \"control.capnp.h\"\n", {"1: cage"}},
      {"runtime/wire/frame.h", "#include <kj/array.h>\n", {"1: cage"}},
      {"runtime/membership/a.cc", "#include <capnp/message.h>\n", {"1: cage"}},
      {"runtime/digest/a.cc", "#include <xxhash.h>\n", {}},
      {"runtime/memory/a.cc", "#include <xxhash.h>\n", {"1: cage"}},
      {"api/tools/a.cc", "#include <CLI/CLI.hpp>\n#include <nlohmann/json.hpp>\n", {}},
      {"recovery/disk/a.cc", "#include <nlohmann/json.hpp>\n", {}},
      {"recovery/parity/a.cc", "#include <isa-l.h>\n", {}},
      {"recovery/disk/b.cc", "#include <isa-l/erasure_code.h>\n", {"1: cage"}},
      {"recovery/state/a.cc", "#include <nlohmann/json.hpp>\n", {"1: cage"}},
      {"api/src/a.cc", "#include <CLI/CLI.hpp>\n", {"1: cage"}},
      {"api/src/b.cc", "#include <gtest/gtest.h>\n", {"1: cage"}},
      {"runtime/memory/cuda/a.cc", "#include <cuda_runtime.h>\n", {}},
      {"runtime/memory/b.cc", "#include <cuda_runtime.h>\n", {"1: cage"}},
      {"runtime/loop/b.cc", "#include <ucp/api/ucp.h>\n", {"1: cage"}},
      {"runtime/loop/c.cc", "#include <rdma/fabric.h>\n", {"1: cage"}},
      {"runtime/loop/d.cc", "#include <openssl/ssl.h>\n", {"1: cage"}},
  };
}

std::vector<Case> length_cases() {
  return {
      {"runtime/base/a.cc", lines(600), {}},
      {"runtime/base/a.cc", lines(601), {"601: file-length"}},
      {"runtime/base/a.cc", "\n" + function(70), {}},
      {"runtime/base/a.cc", "\n" + function(71), {"2: function-length"}},
      {"runtime/base/a.c", "static\n" + function(70), {"1: function-length"}},
      {"runtime/base/a.cc",
       "namespace a {\nclass B {\n" + function(71) + "};\n}\n",
       {"3: function-length"}},
      {"runtime/base/a.h", "struct alignas(64) A {\n" + lines(80, "  int x;") + "};\n", {}},
      {"runtime/base/a.h",
       "template <class T>\nstruct A : B {\n" + function(71) + "};\n",
       {"3: function-length"}},
      {"runtime/base/a.cc", "const int table[] = {\n" + lines(80, "  1,") + "};\n", {}},
      {"runtime/base/a.cc",
       "A::A() : b_{1}, c_(2) {\n" + lines(70, "  x();") + "}\n",
       {"1: function-length"}},
      {"tests/unit/a.cc", "TEST(A, B) {\n" + lines(70, "  x();") + "}\n", {"1: function-length"}},
      {"runtime/base/a.cc",
       "int f() {\n#if A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\n" + function(71),
       {"9: function-length"}},
      {"runtime/base/a.cc",
       "template <class T>\nvoid f() {\n" + lines(70, "  x();") + "}\n",
       {"1: function-length"}},
  };
}

std::vector<Case> call_cases() {
  return {
      {"runtime/base/options.cc", "auto v = std::getenv(\"RHZ_A\");\n", {}},
      {"runtime/loop/a.cc", "\nauto v = std::getenv(\"RHZ_A\");\n", {"2: environment"}},
      {"api/examples/a.c", "char* v = getenv(\"HOME\");\n", {}},
      {"runtime/loop/a.cc", "// getenv(\nauto s = \"getenv(\";\n", {}},
      {"runtime/loop/a.cc", "throw 1;\n", {"1: throw"}},
      {"runtime/loop/a.cc", "auto p = new (std::nothrow) int;\n", {}},
      {"runtime/loop/a.cc", "try {\n} catch (...) {\n}\n", {"2: catch"}},
      {"runtime/wire/codec.cc", "try {\n} catch (...) {\n}\n", {}},
      {"api/src/guard.h", "try {\n} catch (...) {\n}\n", {}},
      {"runtime/loop/a.cc", "std::abort();\n", {"1: exit"}},
      {"runtime/loop/a.cc", "if (x) exit(1);\n", {"1: exit"}},
      {"runtime/loop/a.cc", "return ::_exit(1);\n", {"1: exit"}},
      {"runtime/base/assert.cc", "std::abort();\n", {}},
      {"api/tools/a.cc", "std::exit(1);\n", {}},
      {"collectives/a.cc", "op.abort(1);\nvoid abort(Op op);\nOp::abort(x);\nabort(x);\n", {}},
      {"tests/unit/a.cc", "std::this_thread::sleep_for(1ms);\n", {"1: sleep"}},
      {"tests/c99/a.c", "usleep(10);\nsleep(1);\n", {"1: sleep", "2: sleep"}},
      {"tests/chaos/a.sh", "sleep 1  # wait\n# sleep 1\n", {"1: sleep"}},
      {"bench/perf/a.cc", "std::this_thread::sleep_for(1ms);\n", {}},
  };
}

std::vector<Case> document_cases() {
  return {
      {"runtime/base/a.cc", "// " + kUnfinishedWord + ": more\n", {"1: unfinished"}},
      {"tests/CMakeLists.txt", "# " + kUnfinishedWord + "\n", {"1: unfinished"}},
      {"runtime/base/a.cc", "int " + kUnfinishedWord + "S;\n", {}},
      {"README.md", lines(150), {}},
      {"README.md", lines(151), {"151: readme-length"}},
      {"docs/README.md", lines(151), {}},
  };
}

class SelfTest {
 public:
  bool run() {
    for (const auto& cases :
         {layer_cases(), cage_cases(), length_cases(), call_cases(), document_cases()}) {
      for (const Case& each : cases) run_case(each);
    }
    exceptions();
    function_names();
    loading();
    // A rule without a planted violation is not tested.
    for (const char* rule :
         {"layer", "include-path", "cage", "file-length", "function-length", "exception",
          "environment", "throw", "catch", "exit", "sleep", "unfinished", "readme-length"}) {
      expect(rules_.count(rule) == 1, std::string("a planted violation of ") + rule);
    }
    std::printf("%d passed, %d failed\n", passed_, failed_);
    return failed_ == 0;
  }

 private:
  void expect(bool holds, const std::string& what) {
    (holds ? passed_ : failed_)++;
    if (!holds) std::printf("FAIL  %s\n", what.c_str());
  }

  std::vector<std::string> found(const Violations& violations) {
    std::vector<std::string> result;
    for (const Violation& violation : violations) {
      rules_.insert(violation.rule);
      result.push_back(std::to_string(violation.line) + ": " + violation.rule);
    }
    return result;
  }

  void run_case(const Case& each) {
    const auto result = found(check({make_file(each.path, each.content)}, {}));
    std::string what = std::string(each.path) + ": " + each.content.substr(0, 100) + "\n found:";
    for (const std::string& one : result) what += " " + one;
    expect(result == each.expected, what);
  }

  void exceptions() {
    const Tree tree = {make_file("runtime/base/a.cc", lines(650)),
                       make_file("runtime/base/b.cc", function(80))};
    auto check_with = [&](const std::vector<std::string>& text) {
      return found(check(tree, parse_exceptions(text)));
    };
    using Found = std::vector<std::string>;
    expect(check_with({}) == Found{"601: file-length", "1: function-length"}, "no exceptions");
    expect(check_with({"# why", "runtime/base/a.cc 650 a table", "runtime/base/b.cc:f 80 a table"})
               .empty(),
           "exceptions are honoured");
    expect(check_with({"runtime/base/a.cc 640 a table", "runtime/base/b.cc:f 79 a table"}) ==
               Found{"641: file-length", "1: function-length"},
           "exceptions have a limit");
    expect(check_with({"runtime/base/a.cc 650", "runtime/base/b.cc:f 80 a table"}) ==
               Found{"601: file-length", "1: exception"},
           "exceptions have a reason");
    expect(check_with({"runtime/base/a.cc 650 a table", "runtime/base/b.cc:f 80 a table",
                       "runtime/base/c.cc 700 a table"}) == Found{"3: exception"},
           "exceptions that are not needed are found");
  }

  void function_names() {
    const auto functions = functions_of(make_file(
        "a.cc", "namespace {\nint A::f(int x) const {\n  if (x) {\n  }\n}\n}\nTEST(B, C) {\n}\n"));
    expect(functions.size() == 2, "two functions");
    if (functions.size() != 2) return;
    expect(functions[0].name == "A::f" && functions[0].lines == 4, "the first function");
    expect(functions[1].name == "B.C" && functions[1].first_line == 7, "the second function");
  }

  // The tree as it is read from disk: without hidden folders, build trees, and files of no
  // interest.
  void loading() {
    namespace fs = std::filesystem;
    const fs::path root =
        fs::temp_directory_path() / ("rhizome-lint-" + std::to_string(std::random_device()()));
    for (const char* path : {"runtime/base/a.h", "README.md", ".git/b.h", "out/CMakeCache.txt",
                             "out/runtime/c.h", "data/d.bin"}) {
      fs::create_directories((root / path).parent_path());
      std::ofstream(root / path) << "throw 1;\n";
    }
    const Tree tree = load_tree(root.string());
    expect(tree.size() == 2 && tree[0].path == "README.md" && tree[1].path == "runtime/base/a.h",
           "what is read from disk");
    expect(found(check(tree, {})) == std::vector<std::string>{"1: throw"}, "a tree on disk");
    fs::remove_all(root);
  }

  std::set<std::string> rules_;
  int passed_ = 0;
  int failed_ = 0;
};

}  // namespace

bool self_test() { return SelfTest().run(); }

}  // namespace rhz::lint

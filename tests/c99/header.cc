// The public header is clean C++20 too, and its functions have C linkage.
#include <rhizome/rhizome.h>

#include <type_traits>

static_assert(std::is_standard_layout_v<rhz_op_info> && std::is_trivial_v<rhz_op_info>);
static_assert(std::is_trivial_v<rhz_comm_params> && std::is_trivial_v<rhz_allreduce_params>);

int main() { return rhz_status_text(RHZ_OK) == nullptr; }

#include "tests/integration/collective.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

namespace rhz::test {
namespace {

constexpr size_t kBehind = 64;  // bytes behind each buffer, which nobody may touch
constexpr std::byte kUntouched{0xa5};
constexpr double kNeverGiven = 99;  // more than any pattern

using Submit = rhz_status (*)(rhz_comm*, const rhz_collective_params*, rhz_op**);
struct Name {
  const char* kind;
  Submit submit;
};
// In the order of Exchange.
constexpr Name kNames[] = {{"broadcast", rhz_broadcast}, {"reduce", rhz_reduce},
                           {"allgather", rhz_allgather}, {"reduce_scatter", rhz_reduce_scatter},
                           {"gather", rhz_gather},       {"scatter", rhz_scatter},
                           {"alltoall", rhz_alltoall}};

size_t kind_named(const std::string& text) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (text == kNames[i].kind) return i;
  std::abort();
}

uint32_t number_of(const std::map<std::string, uint32_t>& names, const std::string& text) {
  const auto found = names.find(text);
  if (found == names.end()) std::abort();
  return found->second;
}

uint32_t dtype_named(const std::string& text) {
  static const std::map<std::string, uint32_t> names = {
      {"i8", RHZ_DTYPE_I8},   {"u8", RHZ_DTYPE_U8},     {"i16", RHZ_DTYPE_I16},
      {"u16", RHZ_DTYPE_U16}, {"i32", RHZ_DTYPE_I32},   {"u32", RHZ_DTYPE_U32},
      {"i64", RHZ_DTYPE_I64}, {"u64", RHZ_DTYPE_U64},   {"f16", RHZ_DTYPE_F16},
      {"", RHZ_DTYPE_F32},    {"bf16", RHZ_DTYPE_BF16}, {"f32", RHZ_DTYPE_F32},
      {"f64", RHZ_DTYPE_F64}};
  return number_of(names, text);
}

uint32_t redop_named(const std::string& text) {
  return number_of({{"", RHZ_REDOP_DEFAULT}, {"sum", RHZ_REDOP_SUM}, {"avg", RHZ_REDOP_AVG}}, text);
}

// Calls `f` with a value of the type; what is only moved needs no more of a 16-bit float.
template <class F>
auto with_type(uint32_t dtype, F&& f) {
  switch (dtype) {
    case RHZ_DTYPE_I8: return f(int8_t{});
    case RHZ_DTYPE_U8: return f(uint8_t{});
    case RHZ_DTYPE_I16: return f(int16_t{});
    case RHZ_DTYPE_I32: return f(int32_t{});
    case RHZ_DTYPE_U32: return f(uint32_t{});
    case RHZ_DTYPE_I64: return f(int64_t{});
    case RHZ_DTYPE_U64: return f(uint64_t{});
    case RHZ_DTYPE_F32: return f(float{});
    case RHZ_DTYPE_F64: return f(double{});
    default: return f(uint16_t{});
  }
}

// Integers wrap.
template <class T>
T value_of(double value) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(value));
  else
    return static_cast<T>(value);
}

void* or_null(const std::vector<std::byte>& buffer) {
  return buffer.empty() ? nullptr : const_cast<std::byte*>(buffer.data());
}

}  // namespace

uint32_t rebuild_mode(const std::string& name) {
  if (name == "strict") return RHZ_REBUILD_STRICT;
  if (name == "keep") return RHZ_REBUILD_KEEP;
  if (name == "fail") return RHZ_REBUILD_FAIL;
  if (name == "include") return RHZ_REBUILD_INCLUDE;
  return RHZ_REBUILD_DEFAULT;
}

Collective::Collective(const Line& command, uint32_t slot)
    : kind_(static_cast<Exchange>(kind_named(command.text("kind")))),
      slot_(slot),
      root_(static_cast<uint32_t>(command.number("root"))),
      world_(static_cast<uint32_t>(command.number("world"))),
      id_(command.number("id")),
      count_(command.number("count")),
      in_place_(command.number("in_place") != 0),
      vary_(command.number("vary") != 0) {
  params_.struct_size = sizeof params_;
  params_.count_elems = count_;
  params_.dtype = dtype_named(command.text("dtype"));
  params_.redop = redop_named(command.text("redop"));
  params_.rebuild = rebuild_mode(command.text("rebuild"));
  params_.timeout_ms = static_cast<uint32_t>(command.number("timeout_ms"));
  params_.root_slot = root_;
  params_.world_size = world_;
  block_bytes_ = count_ * with_type(params_.dtype, [](auto one) { return sizeof one; });
  const bool only_recv = in_place_ && kind_ != Exchange::kReduceScatter;
  const bool only_send = in_place_ && kind_ == Exchange::kReduceScatter;
  const uint32_t in_recv = std::max(blocks_got(), only_recv ? blocks_given() : 0);
  if (blocks_given() > 0 && !only_recv)
    send_.assign(blocks_given() * block_bytes_ + kBehind, kUntouched);
  if (in_recv > 0 && !only_send) recv_.assign(in_recv * block_bytes_ + kBehind, kUntouched);
  for (uint32_t b = 0; b < blocks_given(); ++b) {
    with_type(params_.dtype, [&]<class T>(T) {
      auto* to = reinterpret_cast<T*>(input(b));
      for (uint64_t i = 0; i < given_count(b); ++i) to[i] = static_cast<T>(given(slot_, b, i));
    });
  }
}

// Of what `from` gives `to`; of kinds with one row, of the block of rank `to`.
uint64_t Collective::varied(uint32_t from, uint32_t to) const {
  if (!vary_) return count_;
  const uint64_t mixed = (id_ * 31 + from * 7 + to * 3) % 5;
  return mixed == 0 ? 0 : count_ - count_ * (mixed - 1) / 5;
}

uint64_t Collective::given_count(uint32_t block) const {
  if (kind_ == Exchange::kAllToAll) return varied(slot_, block);
  return varied(0, blocks_given() > 1 || kind_ == Exchange::kReduceScatter || kind_ == Exchange::kScatter ? block : slot_);
}

uint64_t Collective::got_count(uint32_t block) const {
  if (kind_ == Exchange::kAllToAll) return varied(block, slot_);
  const bool all = kind_ == Exchange::kAllGather || kind_ == Exchange::kGather;
  return varied(0, all ? block : slot_);
}

rhz_status Collective::submit_varying(rhz_comm* comm, rhz_op** op) const {
  using Call = rhz_status (*)(rhz_comm*, const rhz_vcollective_params*, rhz_op**);
  constexpr Call kCalls[] = {nullptr,     nullptr,      rhz_allgatherv, rhz_reduce_scatterv,
                             rhz_gatherv, rhz_scatterv, rhz_alltoallv};
  std::vector<uint64_t> send_counts, recv_counts, displs;
  for (uint32_t r = 0; r < world_; ++r) {
    const bool all_to_all = kind_ == Exchange::kAllToAll;
    send_counts.push_back(all_to_all ? varied(slot_, r) : varied(0, r));
    recv_counts.push_back(all_to_all ? varied(r, slot_) : varied(0, r));
    displs.push_back(r * count_);
  }
  rhz_vcollective_params params{};
  params.struct_size = sizeof params;
  params.send = or_null(send_);
  params.recv = or_null(recv_);
  params.send_counts = send_counts.data();
  params.recv_counts = recv_counts.data();
  params.send_displs = params.recv_displs = displs.data();
  params.dtype = params_.dtype;
  params.redop = params_.redop;
  params.rebuild = params_.rebuild;
  params.timeout_ms = params_.timeout_ms;
  params.root_slot = root_;
  params.world_size = world_;
  return kCalls[static_cast<size_t>(kind_)](comm, &params, op);
}

std::byte* Collective::input(uint32_t block) {
  if (!send_.empty()) return send_.data() + block * block_bytes_;
  return recv_.data() + (kind_ == Exchange::kAllGather ? slot_ : 0) * block_bytes_;
}

const std::byte* Collective::result(uint32_t block) const {
  if (!recv_.empty()) return recv_.data() + block * block_bytes_;
  return send_.data() + slot_ * block_bytes_;
}

rhz_status Collective::submit(rhz_comm* comm, rhz_op** op) const {
  if (vary_) return submit_varying(comm, op);
  rhz_collective_params params = params_;
  params.send = or_null(send_);
  params.recv = or_null(recv_);
  return kNames[static_cast<size_t>(kind_)].submit(comm, &params, op);
}

uint64_t Collective::given(uint32_t slot, uint32_t block, uint64_t element) const {
  if (reduces()) return pattern(id_ * 64 + block, element) << slot;
  return pattern((id_ * 64 + slot) * 64 + block, element);
}

// Element of a block of the own result.
double Collective::expected(uint32_t block, uint64_t element,
                            const std::vector<uint32_t>& slots) const {
  if (reduces()) {
    uint64_t sum = 0;
    for (uint32_t slot : slots)
      sum += given(slot, kind_ == Exchange::kReduceScatter ? slot_ : 0, element);
    const auto all = static_cast<double>(sum);
    return params_.redop == RHZ_REDOP_AVG ? all / static_cast<double>(slots.size()) : all;
  }
  const bool by_source =
      kind_ == Exchange::kAllGather || kind_ == Exchange::kGather || kind_ == Exchange::kAllToAll;
  const bool for_me = kind_ == Exchange::kScatter || kind_ == Exchange::kAllToAll;
  const uint32_t source = by_source ? block : root_;
  if (slots.empty()) return 0;
  if (slots != std::vector<uint32_t>{source}) return kNeverGiven;
  return static_cast<double>(given(source, for_me ? slot_ : 0, element));
}

Verdict Collective::check(rhz_op* op) const {
  Verdict verdict;
  uint64_t behind = 0;
  for (uint32_t b = 0; b < blocks_got(); ++b) {
    bool empty = false;
    const uint64_t first = behind;  // of the block, among the elements of the result
    behind += got_count(b);
    const auto check = [&](uint64_t begin, uint64_t end, const std::vector<uint32_t>& slots) {
      empty |= slots.empty();
      with_type(params_.dtype, [&]<class T>(T) {
        const auto* got = reinterpret_cast<const T*>(result(b));
        for (uint64_t i = begin - first; i < end - first; ++i) {
          const double value = expected(b, i, slots);
          const bool near = params_.redop == RHZ_REDOP_AVG &&
                            std::fabs(static_cast<double>(got[i]) - value) <= 1e-6 * value;
          if (!near && got[i] != value_of<T>(value) && verdict.wrong++ == 0)
            verdict.first_wrong = first + i;
        }
      });
    };
    for_each_stretch(op, first, behind, verdict, check);
    if (empty) verdict.empty += (verdict.empty.empty() ? "" : ",") + std::to_string(b);
  }
  return verdict;
}

// A result takes the place of this block that was given.
bool Collective::is_overwritten(uint32_t block) const {
  if (!in_place_) return false;
  return (kind_ == Exchange::kReduce && is_root()) || (kind_ == Exchange::kReduceScatter && block == slot_);
}

uint64_t Collective::changed() const {
  uint64_t changed = 0;
  for (uint32_t b = 0; b < blocks_given(); ++b) {
    if (is_overwritten(b)) continue;
    with_type(params_.dtype, [&]<class T>(T) {
      const auto* now = reinterpret_cast<const T*>(input(b));
      for (uint64_t i = 0; i < given_count(b); ++i)
        changed += now[i] != static_cast<T>(given(slot_, b, i));
    });
  }
  for (uint32_t b = 0; vary_ && b < blocks_got(); ++b) {  // what lies behind a block is nobody's
    if (recv_.empty()) break;
    const size_t element = block_bytes_ / std::max<uint64_t>(count_, 1);
    const auto* end = result(b) + block_bytes_;
    for (const auto* at = result(b) + got_count(b) * element; at < end; ++at)
      changed += *at != kUntouched;
  }
  for (const auto* buffer : {&send_, &recv_})
    if (!buffer->empty())
      changed +=
          static_cast<uint64_t>(std::count_if(buffer->end() - kBehind, buffer->end(),
                                              [](std::byte byte) { return byte != kUntouched; }));
  return changed;
}

}  // namespace rhz::test

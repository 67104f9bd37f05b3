#include "tests/gpu/state_trainer.h"

#include <rhizome/rhizome.h>
#include <rhizome/rhizome_checkpoint.h>
#include <rhizome/rhizome_cuda.h>
#include <rhizome/rhizome_shadow.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <vector>

#include "tests/gpu/cuda_calls.h"

namespace rhz::gpu {
namespace {

constexpr uint64_t kSegment = uint64_t{64} << 20;
// "odd" begins at an address of no use to a kernel, and ends in the middle of a block.
constexpr uint64_t kOdd = 1000003, kOddAt = 3;
constexpr uint64_t kRoom = 2u << 20;  // for it, behind "large"

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The same random bytes in each segment, but the first ones, which tell seed and segment.
std::vector<std::byte> segment_bytes() {
  std::vector<std::byte> bytes(kSegment);
  uint64_t x = 88172645463325252u;
  for (uint64_t i = 0; i < kSegment; i += 8) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    std::memcpy(bytes.data() + i, &x, 8);
  }
  return bytes;
}

class Trainer {
 public:
  Trainer(const char* coordinator, uint64_t bytes, const void* busy) : bytes_(bytes) {
    if (!begin(0)) std::exit(3);
    stream_ = make_stream();
    if (busy) busy_ = kernel(busy, "rhz_busy");
    rhz_comm_params params{};
    params.struct_size = sizeof params;
    params.coordinator = coordinator;
    params.run_id = "gpu-state";
    params.slot_plus_one = 1;
    if (rhz_comm_create(&params, &comm_) != RHZ_OK)
      std::fprintf(stderr, "%s\n", rhz_last_error()), std::exit(3);
    describe(tensors_);
  }
  ~Trainer() { rhz_comm_close(comm_); }

  // A line of the parent's; what it asks for is the text of the answer.
  rhz_status obey(const std::string& line, std::string& text);

 private:
  void describe(rhz_tensor (&tensors)[2]) const {
    tensors[0] = {sizeof(rhz_tensor), "large", nullptr, bytes_, RHZ_DTYPE_U8, RHZ_TENSOR_OWN};
    tensors[1] = {sizeof(rhz_tensor), "odd", nullptr, kOdd, RHZ_DTYPE_U8, RHZ_TENSOR_OWN};
  }
  Memory at(int i) const { return reinterpret_cast<Memory>(tensors_[i].data); }
  void place(void* memory) {
    tensors_[0].data = memory;
    tensors_[1].data = static_cast<std::byte*>(memory) + bytes_ + kOddAt;
  }
  rhz_status enrol();
  rhz_status attach(uint32_t flags, std::string& text);
  void write(uint64_t seed);
  rhz_status verify(uint64_t seed, std::string& text);
  rhz_status digest(std::string& text);
  std::vector<rhz_tensor_slice> slices() const;
  rhz_status checkpoint();
  rhz_status load();
  rhz_status steps(std::istringstream& words, std::string& text);
  void work(double ms, bool memory);

  const uint64_t bytes_;
  rhz_comm* comm_ = nullptr;
  Stream stream_ = nullptr;
  Kernel busy_ = nullptr;
  Memory scratch_ = 0;
  unsigned iterations_per_ms_ = 0;
  uint64_t revision_ = 0;
  rhz_tensor tensors_[2];
};

rhz_status Trainer::enrol() {
  for (const rhz_tensor& tensor : tensors_)
    if (const rhz_status s = rhz_state_register(comm_, &tensor); s != RHZ_OK) return s;
  return rhz_comm_join(comm_, 20000);
}

rhz_status Trainer::attach(uint32_t flags, std::string& text) {
  rhz_attach_params params{};
  params.struct_size = sizeof params;
  params.tensors = tensors_;
  params.tensor_count = 2;
  params.flags = flags;
  rhz_attach_info info{};
  info.struct_size = sizeof info;
  const rhz_status status = rhz_state_attach(comm_, &params, &info);
  revision_ = info.revision;
  if (status == RHZ_OK)
    text =
        "revision " + std::to_string(info.revision) + " verified " + std::to_string(info.verified);
  return status;
}

// Queued only.
void Trainer::write(uint64_t seed) {
  static const std::vector<std::byte> bytes = segment_bytes();
  for (uint64_t at_byte = 0; at_byte < bytes_; at_byte += kSegment) {
    const uint64_t length = std::min(kSegment, bytes_ - at_byte);
    const Memory to = at(0) + at_byte;
    if (at_byte == 0)
      to_device(to, bytes.data(), length, stream_);
    else
      copy(to + 8, at(0) + 8, length - 8, stream_);
    const uint64_t mark = seed << 32 | at_byte / kSegment;
    to_device(to, &mark, 8, stream_);
  }
  to_device(at(1), bytes.data() + seed, kOdd, stream_);
}

rhz_status Trainer::verify(uint64_t seed, std::string& text) {
  const std::vector<std::byte> bytes = segment_bytes();
  std::vector<std::byte> got(kSegment), expected = bytes;
  uint64_t wrong = 0;
  for (uint64_t at_byte = 0; at_byte < bytes_; at_byte += kSegment) {
    const uint64_t length = std::min(kSegment, bytes_ - at_byte);
    to_host(got.data(), at(0) + at_byte, length, stream_);
    (void)synchronize(stream_);
    const uint64_t mark = seed << 32 | at_byte / kSegment;
    std::memcpy(expected.data(), &mark, 8);
    wrong += std::memcmp(got.data(), expected.data(), length) != 0;
  }
  to_host(got.data(), at(1), kOdd, stream_);
  (void)synchronize(stream_);
  wrong += std::memcmp(got.data(), bytes.data() + seed, kOdd) != 0;
  if (wrong == 0) return RHZ_OK;
  text = std::to_string(wrong) + " segments are wrong";
  return RHZ_ERR_INTERNAL;
}

// Of the device's bytes, and beside it of a copy in the host.
rhz_status Trainer::digest(std::string& text) {
  uint8_t own[16], copied[16];
  const double since = now_us();
  if (const rhz_status s = rhz_state_digest(comm_, own); s != RHZ_OK) return s;
  const double us = now_us() - since;
  std::vector<std::byte> large(bytes_), odd(kOdd);
  to_host(large.data(), at(0), bytes_, stream_);
  to_host(odd.data(), at(1), kOdd, stream_);
  (void)synchronize(stream_);
  rhz_tensor tensors[2];
  describe(tensors);
  tensors[0].data = large.data(), tensors[1].data = odd.data();
  const double host = now_us();
  if (const rhz_status s = rhz_digest_tensors(tensors, 2, copied); s != RHZ_OK) return s;
  text = "us " + std::to_string(us) + " host-us " + std::to_string(now_us() - host);
  if (std::memcmp(own, copied, 16) == 0) return RHZ_OK;
  text = "the device's digest is another than the host's";
  return RHZ_ERR_INTERNAL;
}

// Means, norms and digests of tensors on the device, beside those of their copies in the host.
rhz_status average(std::string& text) {
  constexpr uint64_t kCount = 1234567, kBytes = kCount * 4;
  std::vector<float> host[3];
  rhz_tensor near[3], far[3];
  const char* const name = "weight";
  for (int i = 0; i < 3; ++i) {
    host[i].resize(kCount);
    for (uint64_t k = 0; k < kCount; ++k)
      host[i][k] = static_cast<float>((k * 2654435761u + static_cast<unsigned>(i)) % 65521) - 30000;
    const Memory memory = allocate(kBytes);
    to_device(memory, host[i].data(), kBytes, nullptr);
    near[i] = {sizeof(rhz_tensor), name, host[i].data(), kCount, RHZ_DTYPE_F32, 0};
    far[i] = near[i];
    far[i].data = reinterpret_cast<void*>(memory);
  }
  double norms[2] = {};
  uint8_t digests[2][16] = {};
  int at = 0;
  for (rhz_tensor* tensors : {near, far}) {
    rhz_average_params p{};
    p.struct_size = sizeof p;
    p.before = &tensors[0], p.after = &tensors[1], p.lost = &tensors[2];
    p.tensor_count = 1;
    p.weighting = RHZ_WEIGHTING_NORM;
    p.norm_before = 1, p.norm_after = 2;
    rhz_status status = rhz_average_stage(&p, nullptr);
    if (status == RHZ_OK) status = rhz_gradient_norm(&tensors[2], 1, &norms[at]);
    if (status == RHZ_OK) status = rhz_digest_tensors(&tensors[2], 1, digests[at]);
    if (status != RHZ_OK) return status;
    ++at;
  }
  std::vector<float> got(kCount);
  to_host(got.data(), reinterpret_cast<Memory>(far[2].data), kBytes, nullptr);
  (void)synchronize(nullptr);
  if (got == host[2] && norms[0] == norms[1] && std::memcmp(digests[0], digests[1], 16) == 0)
    return RHZ_OK;
  text = "mean, norm or digest differ";
  return RHZ_ERR_INTERNAL;
}

// What a step does beside its update: arithmetic in all multiprocessors, or writes to memory.
void Trainer::work(double ms, bool memory) {
  constexpr size_t kScratch = size_t{1} << 30;
  constexpr unsigned kBlocks = 132 * 2 * 100;  // a hundred times what the device runs at once
  if (memory || !busy_) {
    if (!scratch_) scratch_ = allocate(kScratch);
    for (double done = 0; done < ms; done += 0.3) fill(scratch_, 1, kScratch, stream_);
    return;
  }
  const auto run = [&](unsigned iterations) {
    if (!scratch_) scratch_ = allocate(kScratch);
    const void* parameters[] = {&iterations, &scratch_};
    launch(busy_, kBlocks, 1024, stream_, {parameters[0], parameters[1]});
  };
  if (iterations_per_ms_ == 0) {
    constexpr unsigned kTrial = 1000;
    run(kTrial), (void)synchronize(stream_);
    const double since = now_us();
    run(kTrial), (void)synchronize(stream_);
    iterations_per_ms_ = static_cast<unsigned>(kTrial / ((now_us() - since) / 1e3));
  }
  for (int i = 0; i < 20; ++i) run(static_cast<unsigned>(iterations_per_ms_ * ms / 20));
}

std::vector<rhz_tensor_slice> Trainer::slices() const {
  std::vector<rhz_tensor_slice> all;
  for (const rhz_tensor& t : tensors_)
    all.push_back({sizeof(rhz_tensor_slice), t.name, t.data, 0, t.count_elems, nullptr, 0, t.dtype});
  return all;
}

// The parent outlives this process, and removes it.
std::string checkpoint_folder() { return "/tmp/rhz-gpu-check-" + std::to_string(getppid()); }

// Params of a checkpoint that is written or loaded there.
template <class Params, class Slices>
Params params_at(const std::string& folder, const Slices& own) {
  Params params{};
  params.struct_size = sizeof params;
  params.folder = folder.c_str();
  params.slices = own.data();
  params.slice_count = static_cast<uint32_t>(own.size());
  return params;
}

rhz_status Trainer::checkpoint() {
  rhz_op* op = nullptr;  // a checkpoint has its place between collectives
  rhz_status status = rhz_barrier(comm_, &op);
  if (status == RHZ_OK) status = rhz_op_wait(op, 20000, RHZ_WAIT_DEFAULT);
  if (op) (void)rhz_op_release(op);
  if (status != RHZ_OK) return status;
  const auto own = slices();
  const std::string folder = checkpoint_folder();
  const auto params = params_at<rhz_checkpoint_params>(folder, own);
  status = rhz_checkpoint(comm_, &params);
  return status == RHZ_OK ? rhz_checkpoint_wait(comm_, 60000, nullptr) : status;
}

rhz_status Trainer::load() {
  const auto own = slices();
  const std::string folder = checkpoint_folder();
  const auto params = params_at<rhz_checkpoint_load_params>(folder, own);
  rhz_checkpoint_load_info info{};
  info.struct_size = sizeof info;
  const rhz_status status = rhz_checkpoint_load(comm_, &params, &info);
  revision_ = info.revision;
  return status == RHZ_OK ? rhz_state_commit(comm_, revision_) : status;
}

// "steps COUNT MS MEMORY SNAPSHOT": the median time of a step.  The first two snapshots make their
// buffers, and do not count.
rhz_status Trainer::steps(std::istringstream& words, std::string& text) {
  int count = 0, memory = 0, snapshot = 0;
  double ms = 0;
  words >> count >> ms >> memory >> snapshot;
  std::vector<double> took, calls, fences;
  for (int i = 0; i < count; ++i) {
    const double begun = now_us();
    double in_call = 0;
    if (snapshot) {
      if (const rhz_status s = rhz_snapshot(comm_, nullptr); s != RHZ_OK) return s;
      in_call = now_us() - begun;
    }
    work(ms, memory != 0);
    (void)synchronize(stream_);
    const double worked = now_us();
    if (const rhz_status s = rhz_snapshot_fence(comm_, 0); s != RHZ_OK) return s;
    const double fenced = now_us();
    rhz_status status = rhz_state_begin_update(comm_);
    if (status == RHZ_OK) fill(at(1), static_cast<unsigned char>(i), 1000, stream_);
    if (status == RHZ_OK) status = rhz_state_end_update(comm_);
    if (status == RHZ_OK) status = rhz_state_commit(comm_, ++revision_);
    if (status != RHZ_OK) return status;
    took.push_back(now_us() - begun), calls.push_back(in_call), fences.push_back(fenced - worked);
  }
  const auto median = [](std::vector<double>& v) {
    std::sort(v.begin(), v.end());
    return std::to_string(v[v.size() / 2]);
  };
  text = "step-us " + median(took) + " call-us " + median(calls) + " fence-us " + median(fences);
  return RHZ_OK;
}

rhz_status Trainer::obey(const std::string& line, std::string& text) {
  std::istringstream words(line);
  std::string word;
  uint64_t number = 0;
  words >> word;
  if (word == "steps") return steps(words, text);
  words >> number;
  if (word == "hello") return RHZ_OK;
  if (word == "attach") return attach(static_cast<uint32_t>(number), text);
  if (word == "join") return rhz_comm_join(comm_, 20000);
  if (word == "enrol") return enrol();
  if (word == "begin") return rhz_state_begin_update(comm_);
  if (word == "end") return rhz_state_end_update(comm_);
  if (word == "commit") return rhz_state_commit(comm_, revision_ = number);
  if (word == "verify") return verify(number, text);
  if (word == "digest") return digest(text);
  if (word == "snapshot") return rhz_snapshot(comm_, nullptr);
  if (word == "fence") return rhz_snapshot_fence(comm_, 0);
  if (word == "restore") return rhz_restore(comm_, nullptr, nullptr);
  if (word == "checkpoint") return checkpoint();
  if (word == "load") return load();
  if (word == "average") return average(text);
  if (word == "write") return write(number), RHZ_OK;
  if (word == "churn") {  // as many as are queued without waiting for the first
    for (int i = 0; i < 900; ++i) fill(at(0), 0xEE, bytes_, stream_);
    return RHZ_OK;
  }
  if (word == "malloc") {
    place(reinterpret_cast<void*>(allocate(bytes_ + kRoom)));
    return RHZ_OK;
  }
  if (word == "alloc") {
    void* memory = nullptr;
    const rhz_status status = rhz_cuda_alloc(comm_, bytes_ + kRoom, &memory);
    if (status == RHZ_OK) place(memory);
    return status;
  }
  text = "what is " + word + "?";
  return RHZ_ERR_ARGUMENT;
}

}  // namespace

bool be_state_trainer(int argc, char** argv, const void* busy) {
  if (argc != 4 || std::strcmp(argv[1], "--state-trainer") != 0) return false;
  Trainer trainer(argv[2], std::strtoull(argv[3], nullptr, 10), busy);
  char line[256];
  while (std::fgets(line, sizeof line, stdin)) {
    std::string asked = line, text;
    if (!asked.empty() && asked.back() == '\n') asked.pop_back();
    const double since = now_us();
    const rhz_status status = trainer.obey(asked, text);
    const double us = now_us() - since;
    if (status != RHZ_OK && text.empty()) text = rhz_last_error();
    std::printf("%d %.1f %s\n", static_cast<int>(status), us, text.c_str());
    std::fflush(stdout);
  }
  return true;
}

}  // namespace rhz::gpu

#include "tests/integration/pipeline_reference.h"

#include <algorithm>
#include <memory>
#include <vector>

extern "C" {
#include "api/examples/char_lm_model.h"
#include "api/examples/char_lm_text.h"
}

namespace rhz::test {
namespace {

constexpr uint64_t kSeed = 1;
constexpr double kLearningRate = 1e-3, kClipNorm = 1;
constexpr uint64_t kWarmupSteps = 20;

using Reals = std::vector<lm_real>;

class Trainer {
 public:
  explicit Trainer(const PipelineRun& run)
      : run_(run), rows_(run.batch * run.context), inputs_(rows_), targets_(rows_) {
    const lm_config config{run.batch, run.context, run.width, 4, run.stages};
    model_.reset(lm_model_new(&config));
    count_ = lm_parameter_count(model_.get());
    for (Reals* reals : {&parameters_, &gradient_, &first_, &second_}) reals->resize(count_);
    uint64_t seed = kSeed;
    random_ = lm_random(&seed);
    lm_initialize(model_.get(), seed, parameters_.data());
    char error[LM_TEXT_ERROR_BYTES];
    readable_ = lm_text_load(&text_, nullptr, 0, run.context, error);
  }
  ~Trainer() { free(text_.bytes); }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  double step(uint64_t number) {
    if (!readable_) return -1;
    double loss = 0;
    uint32_t counted = 0;
    const auto known = run_.strands.find(number);
    std::vector<Reals> sums(run_.replicas, Reals(count_));
    for (uint32_t m = 0; m < run_.micro_batches; ++m) {
      const uint32_t strand = m % run_.replicas;
      if (known != run_.strands.end() && !(known->second >> strand & 1)) continue;
      loss += micro_batch(m, sums[strand].data());
      ++counted;
    }
    for (size_t i = 0; i < count_; ++i) {
      gradient_[i] = 0;
      for (const Reals& sum : sums) gradient_[i] += sum[i];
      gradient_[i] *= 1 / static_cast<lm_real>(counted);
    }
    update(number);
    position_ += run_.batch;
    lm_random(&random_);
    return loss / counted;
  }

 private:
  double micro_batch(uint32_t number, lm_real* gradient) {
    lm_model* model = model_.get();
    lm_text_sample(&text_, number, position_, random_, run_.batch, run_.context, inputs_.data(),
                   targets_.data());
    lm_embed(model, parameters_.data(), inputs_.data());
    lm_layers_forward(model, parameters_.data());
    const double loss = lm_head_forward(model, parameters_.data(), targets_.data());
    lm_head_backward(model, parameters_.data(), gradient);
    lm_layers_backward(model, parameters_.data(), gradient);
    lm_embed_backward(model, inputs_.data(), gradient);
    return loss;
  }

  // Each stage's layers, the embedding and the head are clipped by themselves.
  void update(uint64_t number) {
    const lm_part embedding = lm_part_at(model_.get(), LM_EMBEDDING);
    const lm_part head = lm_part_at(model_.get(), LM_HEAD);
    const lm_part layers = lm_part_at(model_.get(), LM_LAYERS);
    const size_t own = layers.count / run_.stages;
    lm_clip(gradient_.data() + embedding.offset, embedding.count, kClipNorm);
    lm_clip(gradient_.data() + head.offset, head.count, kClipNorm);
    for (uint32_t stage = 0; stage < run_.stages; ++stage)
      lm_clip(gradient_.data() + layers.offset + stage * own, own, kClipNorm);
    const double warmth = std::min(static_cast<double>(number) / kWarmupSteps, 1.0);
    lm_adamw(model_.get(), parameters_.data(), gradient_.data(), first_.data(), second_.data(),
             number, warmth * kLearningRate);
  }

  struct Free {
    void operator()(lm_model* model) const { lm_model_free(model); }
  };
  const PipelineRun run_;
  const size_t rows_;
  std::unique_ptr<lm_model, Free> model_;
  std::vector<uint8_t> inputs_, targets_;
  size_t count_ = 0;
  Reals parameters_, gradient_, first_, second_;
  lm_text text_{};
  bool readable_ = false;
  uint64_t random_ = 0, position_ = 0;
};

}  // namespace

double loss_of_one_process(const PipelineRun& run) {
  Trainer trainer(run);
  double loss = 0;
  for (uint64_t step = 1; step <= run.steps; ++step) loss = trainer.step(step);
  return loss;
}

}  // namespace rhz::test

// powersgd: of a matrix only its part of low rank that the last step's found is sent; the rest is added to
// the lane's next gradient. Vogels, Karimireddy and Jaggi, "PowerSGD: practical low-rank gradient compression
// for distributed optimization" (2019), in the form of Zhang et al., "Evaluation and optimization of gradient
// compression for distributed deep learning" (ACP-SGD, 2023): one factor a step, in turns.
//
// With orthonormal rows R that all ranks have, lanes sum M R^T in even steps, and the gradient is the sum
// times R. Its orthonormalised columns are the L of the next step, which sums L^T M. Each is the half of a
// power iteration, which so goes on from step to step, and one sum a step is enough. What goes into the sum
// is linear in M, so what a lane has not sent is M less its own part.
//
// Factors travel as int16 does (digits.cpp): their sums have no order. So do vectors, and matrices that would
// not become smaller, whole. Even and odd steps have scales of their own, so a scale is two steps old.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "codec.hpp"
#include "rondo/core/error.hpp"
#include "rondo/core/philox.hpp"
#include "rondo/device/simd.hpp"

namespace rondo {
namespace {

// How far the largest value of a block of factors may grow in two steps before it is clipped, for two bits of
// precision. In the energy job, once begun, one block in 100 doubles and one in 84,000 grew fourfold. What is
// clipped is not lost, but it leaves a rest that is of no low rank. (Training did not mind: at rank 4 the
// MAPE was 2.96 to 2.99 with room for 1, 2, 4 and 16.)
constexpr float kRoom = 4;
constexpr std::size_t kSums = 16;  // partial sums of a dot product: their order is part of the bits

using Floats = std::vector<float>;

// Of x[rows][cols]: `rank` rows of as many values as it has rows (left) or columns (right).
struct Factors {
  std::int64_t rank, rows, cols;
  Floats left, right;
};

template <class Sum>
Sum dot(const float* __restrict x, const float* __restrict y, std::int64_t n) {
  std::array<Sum, kSums> sums{};
  const auto size = static_cast<std::size_t>(n);
  std::size_t i = 0;
  for (; i + kSums <= size; i += kSums)
    for (std::size_t l = 0; l < kSums; ++l)
      sums[l] += static_cast<Sum>(x[i + l]) * static_cast<Sum>(y[i + l]);
  for (; i < size; ++i) sums[i % kSums] += static_cast<Sum>(x[i]) * static_cast<Sum>(y[i]);
  Sum sum = 0;
  for (const Sum part : sums) sum += part;
  return sum;
}

// y += factor x
template <class Factor>
void add_scaled(float* __restrict y, Factor factor, const float* __restrict x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i)
    y[i] = static_cast<float>(static_cast<Factor>(y[i]) + factor * static_cast<Factor>(x[i]));
}

// left = right x^T
void project_rows(const float* x, const Factors& f, float* left) {
  for (std::int64_t r = 0; r < f.rows; ++r)
    for (std::int64_t k = 0; k < f.rank; ++k)
      left[k * f.rows + r] = dot<float>(x + r * f.cols, f.right.data() + k * f.cols, f.cols);
}

// right = left x
void project_cols(const float* x, const Factors& f, float* right) {
  std::fill_n(right, f.rank * f.cols, 0.0f);
  for (std::int64_t r = 0; r < f.rows; ++r)
    for (std::int64_t k = 0; k < f.rank; ++k)
      add_scaled(right + k * f.cols, f.left[static_cast<std::size_t>(k * f.rows + r)], x + r * f.cols,
                 f.cols);
}

// x += sign left^T right
void add_product(float* x, const Factors& f, const float* left, const float* right, float sign) {
  for (std::int64_t r = 0; r < f.rows; ++r)
    for (std::int64_t k = 0; k < f.rank; ++k)
      add_scaled(x + r * f.cols, sign * left[k * f.rows + r], right + k * f.cols, f.cols);
}

// Gram and Schmidt. A row that is nothing beyond those before it gives way to one drawn for (tensor, row).
void orthonormalise(Floats& rows, std::int64_t rank, std::size_t tensor) {
  const auto n = static_cast<std::int64_t>(rows.size()) / rank;
  for (std::int64_t k = 0; k < rank; ++k) {
    float* const row = rows.data() + k * n;
    const RandomStream stream{0, Purpose::init, static_cast<std::uint32_t>(k),
                              static_cast<std::uint32_t>(tensor)};
    for (bool drawn = false;; drawn = true) {
      const auto before = dot<double>(row, row, n);
      for (std::int64_t j = 0; j < k; ++j) {
        const float* const other = rows.data() + j * n;
        add_scaled(row, -dot<double>(row, other, n), other, n);
      }
      const auto after = dot<double>(row, row, n);
      if (drawn || (after > 1e-60 && after > 1e-8 * before)) {
        const double factor = 1 / std::sqrt(after);
        for (std::int64_t i = 0; i < n; ++i)
          row[i] = static_cast<float>(static_cast<double>(row[i]) * factor);
        break;
      }
      for (std::int64_t i = 0; i < n; ++i) row[i] = stream.uniform(static_cast<std::uint64_t>(i)) - 0.5f;
    }
  }
}

class LowRank : public Codec {
 public:
  LowRank(std::int64_t rank, const ParameterStore& store, std::int64_t lanes) {
    std::int64_t blocks = 0;
    for (const Parameter& p : store.list()) {
      Tensor tensor{.name = p.name, .block = p.offset / kBlock, .size = p.size, .code = blocks};
      const std::int64_t rows = p.shape.empty() ? 1 : p.shape[0], cols = p.size / rows;
      if (rank * std::max(rows, cols) * 2 <= p.size) {
        const auto values = [&](std::int64_t n) { return Floats(static_cast<std::size_t>(rank * n)); };
        tensor.size = rank * std::max(rows, cols);
        tensor.factors = {rank, rows, cols, values(rows), values(cols)};
        orthonormalise(tensor.factors.right, rank, tensors_.size());
        orthonormalise(tensor.factors.left, rank, tensors_.size());
      }
      blocks += blocks_for(tensor.size);
      tensors_.push_back(std::move(tensor));
    }
    codecs_[0] = make_digit_codec(2, blocks, lanes, "exchange/even_steps");
    codecs_[1] = make_digit_codec(2, blocks, lanes, "exchange/odd_steps");
    sums_.resize(static_cast<std::size_t>(blocks * kBlock));
    none_.resize(static_cast<std::size_t>(kBlock));
    tensors_.push_back({.name = "", .block = store.blocks(), .size = 0, .code = blocks});
  }

  std::int64_t words_before(std::int64_t end) const override {
    return codecs_[0]->words_before(at(end)->code);
  }

  void encode(std::int64_t lane, BlockSpan blocks, float* values, const float* residual, std::uint32_t* words,
              std::uint32_t* maxima) override {
    simd().add_f32(values + blocks.begin * kBlock, residual + blocks.begin * kBlock,
                   static_cast<std::size_t>(blocks.count() * kBlock));
    for (const Tensor* t = at(blocks.begin); t != at(blocks.end); ++t) {
      float* const x = values + t->block * kBlock;
      const std::int64_t count = blocks_for(t->size);
      Floats whole(static_cast<std::size_t>(count * kBlock));
      if (t->whole())
        std::copy_n(x, t->size, whole.begin());
      else if (odd_ != 0)
        project_cols(x, t->factors, whole.data());
      else
        project_rows(x, t->factors, whole.data());
      Floats rest = whole;
      for (std::int64_t b = 0; b < count; ++b) {
        std::uint32_t& most = maxima[t->code + b];
        most = std::max(most, codec().encode_block(lane, t->code + b, rest.data() + b * kBlock, none_.data(),
                                                   words + codec().words_before(t->code + b)));
      }
      if (t->whole()) {
        std::copy_n(rest.begin(), t->size, x);
      } else {
        for (std::size_t i = 0; i < whole.size(); ++i) whole[i] -= rest[i];  // what was sent, exactly
        add(x, *t, whole.data(), -1);
      }
    }
  }

  void decode(const std::uint32_t* words, float* values) override {
    codec().decode(words, sums_.data());
    std::fill_n(values, tensors_.back().block * kBlock, 0.0f);
    for (const Tensor& t : tensors_)
      if (const float* sum = sums_.data() + t.code * kBlock; t.whole())
        std::copy_n(sum, t.size, values + t.block * kBlock);
      else
        add(values + t.block * kBlock, t, sum, 1);
  }

  bool learn(std::span<const std::uint32_t> maxima) override {
    std::vector<std::uint32_t> room;
    for (const std::uint32_t largest : maxima.first(static_cast<std::size_t>(tensors_.back().code)))
      room.push_back(std::bit_cast<std::uint32_t>(std::min(kRoom * std::bit_cast<float>(largest), 1e37f)));
    if (codec().learn(room)) return true;
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (Tensor& t = tensors_[i]; !t.whole()) {
        Floats& next = odd_ != 0 ? t.factors.right : t.factors.left;
        std::copy_n(sums_.data() + t.code * kBlock, next.size(), next.begin());
        orthonormalise(next, t.factors.rank, i);
      }
    odd_ = 1 - odd_;
    return false;
  }

  void visit(StateVisitor& visitor) override {
    visitor.scalar("exchange/odd", odd_);
    for (const auto& codec : codecs_) codec->visit(visitor);
    for (Tensor& t : tensors_)
      if (!t.whole())
        for (auto [side, factor] : {std::pair{"left", &t.factors.left}, {"right", &t.factors.right}}) {
          const std::int64_t shape[] = {t.factors.rank,
                                        static_cast<std::int64_t>(factor->size()) / t.factors.rank};
          visitor.floats(fmt::format("exchange/{}/{}", side, t.name), *factor, shape);
        }
  }

 private:
  struct Tensor {
    std::string name;
    std::int64_t block;  // its first in the gradient
    std::int64_t size;   // of what is sent: rank times its longer side, so that steps are alike, or all of it
    std::int64_t code;   // its first block among what is sent
    Factors factors = {};
    bool whole() const { return factors.left.empty(); }
  };

  // The tensor that begins with a block, or the end.
  const Tensor* at(std::int64_t block) const {
    return &*std::ranges::lower_bound(tensors_, block, {}, &Tensor::block);
  }
  BlockCodec& codec() const { return *codecs_[static_cast<std::size_t>(odd_)]; }

  // The part of x that `sent`, a factor, stands for.
  void add(float* x, const Tensor& t, const float* sent, float sign) const {
    if (odd_ != 0)
      add_product(x, t.factors, t.factors.left.data(), sent, sign);
    else
      add_product(x, t.factors, sent, t.factors.right.data(), sign);
  }

  std::vector<Tensor> tensors_;                        // the last one is none: it marks the end
  std::array<std::unique_ptr<BlockCodec>, 2> codecs_;  // of even steps and of odd ones
  Floats sums_, none_;
  std::int64_t odd_ = 0;
};

}  // namespace

std::unique_ptr<Codec> make_low_rank_codec(std::int64_t rank, const ParameterStore& store,
                                           std::int64_t lanes) {
  return std::make_unique<LowRank>(rank, store, lanes);
}

}  // namespace rondo

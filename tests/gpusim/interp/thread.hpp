// A thread, its block and its launch while they run.
#pragma once

#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <stdexcept>

#include "interp/insn.hpp"
#include "memory/order.hpp"
#include "memory/shadow.hpp"

namespace gpusim {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// Ends the launch: there is no sensible way to go on.
struct Fault : std::runtime_error {
  enum Code { illegal_address, misaligned, launch_failure } code;
  Fault(Code c, const std::string& what) : std::runtime_error(what), code(c) {}
};

enum class State : uint8_t { ready, at_barrier, at_warp_sync, exited };

struct Frame {
  const Code* code;
  const Insn* return_to;
  size_t base;  // of its registers
  size_t local_base;
};

struct Block;

struct Thread {
  uint64_t* r = nullptr;  // the current frame
  const Insn* pc = nullptr;
  Block* block = nullptr;
  uint16_t id = 0;
  State state = State::ready;
  bool carry = false;
  bool fenced = false;  // a fence since the last plain store
  const Insn* waiting = nullptr;
  uint32_t wait_mask = 0;
  std::vector<uint64_t> stack;
  std::vector<Frame> frames;
  std::vector<uint8_t> local;
  std::vector<uint8_t> local_valid;
  std::vector<uint64_t> observed;  // addresses of atomics whose knowledge a fence will make ours

  uint32_t lane() const { return id % 32; }
};

struct Allocation;

struct Launch {
  const Code* entry;
  Dim grid, block;
  size_t dynamic_shared = 0;
  uint64_t devices = ~uint64_t{0};  // bit d: memory of device d may be touched
  std::vector<uint8_t> parameters;  // the frame's parameter bytes, in order
  uint64_t operation = 0;           // the mark for what it touches in memory
  std::mt19937_64 random;
  uint32_t base_stamp = 0;
  uint64_t executed = 0, limit = 0;
  unsigned findings = 0;
  std::vector<Allocation*> touched;
  std::map<uint64_t, Knowledge> released;  // by the address of the atomic
};

struct Block {
  Launch* launch;
  Dim at;
  uint32_t index;
  std::span<Thread> threads;
  std::vector<uint32_t> ready;
  std::vector<uint8_t> shared;
  std::unique_ptr<Shadow> shared_shadow;
  BlockOrder order;
};

template <class T>
T get(const Thread& t, uint32_t s) {
  T value;
  std::memcpy(&value, &t.r[s], sizeof(T));
  return value;
}

// Signed values are kept sign-extended, all others zero-extended.
template <class T>
void set(Thread& t, uint32_t s, T value) {
  if constexpr (std::is_same_v<T, float>) {
    t.r[s] = std::bit_cast<uint32_t>(value);
  } else if constexpr (std::is_same_v<T, double>) {
    t.r[s] = std::bit_cast<uint64_t>(value);
  } else {
    t.r[s] = static_cast<uint64_t>(value);
  }
}

// "kernel f, PTX line 12 (f.cu:7), thread (1,0,0) of block (0,0,0)".
std::string describe(const Thread& t, const Insn& i);
std::string describe_thread(const Launch& launch, uint32_t block, int tid);

// Reports and goes on; the launch counts as failed.
void finding(Thread& t, const Insn& i, const std::string& kind, const std::string& text);

// The simulator's bytes behind an address, after all checks.
uint8_t* touch(Thread& t, const Insn& i, uint64_t address, size_t size, Access how);

// Makes what this thread's block has done known to those who see the atomic, and the other way round.
void release(Thread& t, uint64_t address);
void observe(Thread& t, uint64_t address);  // what it saw counts from its next fence on
void acquire(Thread& t);

// What a complete warp does: called once for all lanes in `lanes` that wait at `i`.
void resolve_warp(Block& block, uint32_t warp, uint32_t lanes, const Insn& i);

// Generic addresses of what is not global.
constexpr uint64_t window_bits = 1ull << 32;
constexpr uint64_t shared_window = 0x7ffe'0000'0000'0000, local_window = 0x7ffd'0000'0000'0000;
inline bool in_window(uint64_t address, uint64_t window) { return address - window < window_bits; }

// Runs until the thread waits, exits or has used up its slice.
void run_slice(Thread& t, uint64_t slice);

// Throws Fault. Reports findings by report().
void run_launch(Launch& launch);

}  // namespace gpusim

// Where everything lies in a function's frame, and how operands find it.
#include <functional>
#include <set>
#include <tuple>

#include "interp/function_decoder.hpp"
#include "interp/thread.hpp"

namespace gpusim {
namespace {

const std::map<std::string, uint32_t>& special_registers() {
  static const std::map<std::string, uint32_t> map{{"%tid.x", slot::tid_x},
                                                   {"%tid.y", slot::tid_y},
                                                   {"%tid.z", slot::tid_z},
                                                   {"%ntid.x", slot::ntid_x},
                                                   {"%ntid.y", slot::ntid_y},
                                                   {"%ntid.z", slot::ntid_z},
                                                   {"%ctaid.x", slot::ctaid_x},
                                                   {"%ctaid.y", slot::ctaid_y},
                                                   {"%ctaid.z", slot::ctaid_z},
                                                   {"%nctaid.x", slot::nctaid_x},
                                                   {"%nctaid.y", slot::nctaid_y},
                                                   {"%nctaid.z", slot::nctaid_z},
                                                   {"%laneid", slot::laneid},
                                                   {"%warpid", slot::warpid},
                                                   {"%nwarpid", slot::nwarpid},
                                                   {"%lanemask_eq", slot::lanemask_eq},
                                                   {"%lanemask_lt", slot::lanemask_lt},
                                                   {"%lanemask_le", slot::lanemask_le},
                                                   {"%lanemask_gt", slot::lanemask_gt},
                                                   {"%lanemask_ge", slot::lanemask_ge},
                                                   {"%dynamic_smem_size", slot::dynamic_bytes},
                                                   {"%total_smem_size", slot::total_bytes},
                                                   {"%clock", slot::clock},
                                                   {"%clock64", slot::clock},
                                                   {"%globaltimer", slot::clock},
                                                   {"%smid", slot::zero},
                                                   {"%nsmid", slot::one}};

  return map;
}

}  // namespace

void FunctionDecoder::lay_out(size_t shared_begin) {
  slots_ = special_registers();
  for (const std::string& r : f_.registers)
    slots_.emplace(r, static_cast<uint32_t>(slot::count + slots_.size()));
  next_ = static_cast<uint32_t>(slot::count + slots_.size());
  size_t bytes = align_up((next_ + most_constants()) * 8, 16);
  auto parameter = [&](const ptx::Variable& v) {
    bytes = align_up(bytes, std::max<size_t>(v.align, 1));
    Code::Parameter p{static_cast<uint32_t>(bytes), static_cast<uint32_t>(v.size)};
    parameters_[v.name] = p;
    bytes += v.size;
    return p;
  };
  for (const ptx::Variable& v : f_.parameters) code_.parameters.push_back(parameter(v));
  for (const ptx::Variable& v : f_.results) code_.results.push_back(parameter(v));
  code_.shared_layout = shared_begin;
  for (const ptx::Variable& v : f_.variables) {
    if (v.space == "param") {
      parameter(v);
    } else if (v.space == "local") {
      code_.local_size = align_up(code_.local_size, v.align);
      local_[v.name] = code_.local_size;
      code_.local_size += v.size;
    } else if (v.space == "shared" && f_.is_entry) {
      size_t begin = align_up(code_.shared_layout, std::max<size_t>(v.align, 16));
      shared_[v.name] = begin;
      code_.static_shared = align_up(code_.static_shared, v.align) + v.size;
      code_.shared_variables.emplace_back(begin, begin + v.size);
      code_.shared_layout = begin + v.size + 64;
    }
  }
  code_.frame.assign(align_up(bytes, 8) / 8, 0);
  code_.frame[slot::one] = 1;
}

size_t FunctionDecoder::most_constants() const {
  std::set<std::tuple<std::string, int, uint64_t>> distinct;
  std::function<void(const ptx::Operand&)> visit = [&](const ptx::Operand& o) {
    if (o.kind == ptx::Operand::immediate)
      distinct.emplace("", o.float_width, o.bits);
    else if (!o.text.empty() && !slots_.count(o.text))
      distinct.emplace(o.text, 0, static_cast<uint64_t>(o.offset));
    for (const ptx::Operand& part : o.parts) visit(part);
  };
  for (const ptx::Statement& s : f_.statements)
    for (const ptx::Operand& o : s.operands) visit(o);
  return distinct.size() * 2;  // an address uses the symbol without its offset
}

uint32_t FunctionDecoder::constant(uint64_t bits) {
  auto [it, fresh] = constants_.emplace(bits, next_);
  if (fresh) {
    if (next_ >= code_.frame.size()) throw std::runtime_error("no room for constants");
    code_.frame[next_++] = bits;
  }
  return it->second;
}

uint32_t FunctionDecoder::operand(const ptx::Operand& o, const std::string& type) {
  if (o.kind == ptx::Operand::immediate) {
    if (o.float_width == 64 && type == "f32")
      return constant(std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(o.bits))));
    if (o.float_width == 32 && type == "f64")
      return constant(
          std::bit_cast<uint64_t>(static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(o.bits)))));
    return constant(o.bits);
  }
  if (o.text == "_") return slot::sink;
  if (o.text == "WARP_SZ") return constant(32);
  auto it = slots_.find(o.text);
  if (it != slots_.end()) return it->second;
  if (auto g = globals_.find(o.text); g != globals_.end())
    return constant(g->second + static_cast<uint64_t>(o.offset));
  if (auto s = shared_.find(o.text); s != shared_.end())
    return s->second == dynamic ? uint32_t{slot::dynamic_shared}
                                : constant(s->second + static_cast<uint64_t>(o.offset));
  if (auto p = parameters_.find(o.text); p != parameters_.end())
    return constant(p->second.offset + static_cast<uint64_t>(o.offset));
  throw std::runtime_error("unknown name " + o.text);
}

void FunctionDecoder::address(const ptx::Operand& o, Insn& i) {
  i.imm = o.offset;
  if (o.kind == ptx::Operand::address && o.text.empty()) return;
  if (auto l = local_.find(o.text); l != local_.end()) {
    i.a = slot::local_base;
    i.imm += static_cast<int64_t>(l->second);
    return;
  }
  ptx::Operand base = o;
  base.kind = ptx::Operand::name;
  base.offset = 0;
  i.a = operand(base, "u64");
}

void FunctionDecoder::vector(const ptx::Operand& o, const std::string& type, Insn& i) {
  if (o.kind != ptx::Operand::list) {
    i.v[0] = operand(o, type);
    return;
  }
  if (o.parts.size() > 4) throw std::runtime_error("a vector of more than four");
  i.count = static_cast<uint8_t>(o.parts.size());
  for (size_t k = 0; k < o.parts.size(); ++k) i.v[k] = operand(o.parts[k], type);
}

uint32_t FunctionDecoder::label(const std::string& name) const {
  auto it = f_.labels.find(name);
  if (it == f_.labels.end()) throw std::runtime_error("unknown label " + name);
  return static_cast<uint32_t>(it->second);
}

}  // namespace gpusim

/// Text from files we do not trust, made fit for one line of an error message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rondo {

/// `text` with control characters and bytes that are not UTF-8 replaced by '?', cut after `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace rondo
